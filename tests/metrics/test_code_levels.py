"""The use of a codebook by the indices of one level, in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from jepa_lab.metrics.code_levels import chao1, level_use


def test_indices_in_even_use_have_the_perplexity_of_their_number() -> None:
    use = level_use(torch.arange(8).repeat(5))
    assert use is not None
    assert (use.n, use.used, use.largest, use.contiguous) == (40, 8, 7, True)
    assert use.perplexity == pytest.approx(8.0)
    assert use.richness == 8.0  # no code is seen once: the sample is complete


def test_minus_one_is_no_code_and_the_order_does_not_matter() -> None:
    codes = torch.tensor([[3, -1], [3, 0], [-1, 0], [0, 3]])
    use = level_use(codes)
    assert use is not None
    assert (use.n, use.used, use.largest, use.contiguous) == (6, 2, 3, False)
    assert use.perplexity == pytest.approx(2.0)
    assert level_use(codes.flatten().flip(0)) == use
    assert level_use(torch.full((5,), -1)) is None


def test_chao1_adds_the_codes_that_a_small_sample_has_not_shown() -> None:
    assert chao1(torch.tensor([1, 1, 1, 2, 7, 0])) == 5 + 3 * 2 / (2 * 2)
    generator = torch.Generator().manual_seed(0)
    counts = torch.bincount(torch.randint(0, 1000, (600,), generator=generator), minlength=1000)
    assert float((counts > 0).sum()) < 500
    assert chao1(counts) == pytest.approx(1000, rel=0.2)


def test_one_code_is_the_limit() -> None:
    use = level_use(torch.zeros(9, dtype=torch.long))
    assert use is not None
    assert (use.used, use.richness) == (1, 1.0)
    assert math.isclose(use.perplexity, 1.0)


@pytest.mark.parametrize("codes", [torch.zeros(3), torch.tensor([True]), torch.tensor([-2, 1])])
def test_anything_but_indices_is_a_value_error(codes: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="code indices must be"):
        level_use(codes)
