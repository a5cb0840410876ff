"""The use of a codebook by the indices of one level, in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from jepa_lab.metrics.code_levels import chao1, level_use, place_use


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


def test_places_alone_give_the_codes_or_not() -> None:
    of_place = torch.arange(6).repeat(40, 1)
    assert place_use(of_place, 32) == (0.0, 6)
    assert place_use(of_place[torch.randperm(40)] * 3 + 7, 32) == (0.0, 6)
    one_other = of_place.clone()
    one_other[:6, 2] = 9
    assert place_use(one_other, 32) == (pytest.approx(6 / 240), 6)
    by_image = torch.arange(40)[:, None].repeat(1, 6)
    found = place_use(by_image, 32)
    assert found is not None
    assert found.other == pytest.approx(39 / 40)
    assert place_use(torch.zeros(40, 6, dtype=torch.long), 32) == (0.0, 1)


def test_few_codes_at_a_place_are_left_out() -> None:
    codes = torch.arange(3).repeat(40, 1)
    codes[:20, 0] = -1
    assert place_use(codes, 32) == (0.0, 2)
    codes[:20, 1] = -1
    assert place_use(codes, 32) is None
    assert place_use(codes[:10], 32) is None
    assert place_use(codes[:, 2:], 32) is None
    with pytest.raises(ValueError, match=r"expected codes \(n, v\)"):
        place_use(codes.flatten(), 32)
