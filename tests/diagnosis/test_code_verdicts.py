"""Codes of several levels are judged level by level, and codes of one codebook as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from jepa_lab.diagnosis import Verdict, diagnose_features

N = 1500
RNG = np.random.default_rng(0)
Z = RNG.normal(size=(N, 16)).astype(np.float32)
EVEN = RNG.integers(0, 128, (N, 4))
FEW = RNG.choice(RNG.permutation(128)[:5], N)  # 4 % of the codes


def judged(codes: Any, size: Any = None, z: Any = Z) -> Verdict:
    return diagnose_features(z, codes=codes, codebook_size=size)


def with_level(values: Any, at: int = 1) -> np.ndarray:
    codes = EVEN.copy()
    codes[:, at] = values
    return codes


def left_out(codes: np.ndarray) -> np.ndarray:
    """The same codes, where quantise-dropout leaves out the last levels of most rows."""
    keep = np.random.default_rng(1).integers(1, codes.shape[1] + 1, len(codes))
    return np.where(np.arange(codes.shape[1]) >= keep[:, None], -1, codes)


@pytest.mark.parametrize(
    ("codes", "size"),
    [
        (EVEN, None),
        (EVEN, 128),
        (left_out(EVEN), None),
        (left_out(EVEN), [128] * 4),
        (EVEN[:, :1], None),
        (EVEN.T, None),  # levels first
        (EVEN % [128, 64, 8, 2], [128, 64, 8, 2]),
        (EVEN % [128, 64, 8, 2], None),  # every level uses all codes up to its own largest
        (EVEN % [8, 8, 5, 5], None),  # a scalar quantiser's levels
        (EVEN % 2, 2),  # binary codes: the perplexity cannot exceed 2
        (EVEN.astype(np.int16), 128),
        (torch.from_numpy(EVEN), torch.tensor(128)),
        (np.stack([np.bincount(x, minlength=128) for x in EVEN.T]).astype(float), None),
        (EVEN[:200], 128),  # one codebook: not the rows of z
    ],
)
def test_levels_in_even_use_are_healthy(codes: Any, size: Any) -> None:
    verdict = judged(codes, size)
    assert verdict.status == "healthy", verdict.line()
    assert verdict.evidence["codebook/usage"] > 0.5


@pytest.mark.parametrize(
    ("codes", "size", "level"),
    [
        (with_level(FEW), None, "level 2 of 4: 3.9 % of the codes in use (5 of 128)"),
        (with_level(FEW).T, None, "level 2 of 4: 3.9 %"),
        (with_level(17, 3), None, "level 4 of 4: perplexity 1.00"),
        (left_out(with_level(FEW, 0)), None, "level 1 of 4: 3.9 %"),
        (with_level(EVEN[:, 0] % 8), [128, 512, 128, 128], "level 2 of 4: 1.6 %"),
        (np.stack([FEW, FEW], 1), 128, "level 1 of 2: 3.9 %"),  # groups of a product quantiser
        (np.eye(3, 128) * 50.0, None, "level 1 of 3: perplexity 1.00"),  # counts
        (EVEN[:, 0] % 6, 128, "4.7 % of the codes in use (6 of 128)"),
    ],
)
def test_a_dead_level_is_named_beside_healthy_ones(codes: Any, size: Any, level: str) -> None:
    verdict = judged(codes, size)
    assert verdict.status == "codebook_collapse", verdict.line()
    assert level in verdict.reasons[0]


def test_every_dead_level_is_named_and_counted() -> None:
    codes = with_level(FEW)
    codes[:, 3] = 17
    verdict = judged(codes, 128)
    assert verdict.reasons[0].count("level") == 2
    assert verdict.evidence["codebook/levels"] == 4
    assert verdict.evidence["codebook/level_4/perplexity"] == pytest.approx(1.0)
    assert verdict.evidence["codebook/usage"] == pytest.approx(1 / 128)


def test_tokens_of_one_codebook_are_counted_together() -> None:
    tokens = RNG.integers(0, 128, (N, 49))
    tokens[:, 0] = 5  # an empty corner has one code in all images
    views = RNG.normal(size=(N, 49, 4)).astype(np.float32)
    for codes, z in ((tokens, Z), (tokens.reshape(N, 7, 7), Z), (tokens, views)):
        verdict = judged(codes, 128, z)
        assert verdict.status == "healthy"
        assert "codebook/levels" not in verdict.evidence
    several = judged(np.stack([tokens, tokens * 0], 2), 128, views)  # (n, v, levels)
    assert "level 2 of 2" in several.reasons[0]
    between = judged(np.stack([tokens, tokens * 0], 1), 128, views)  # (n, levels, v)
    assert "level 2 of 2" in between.reasons[0]


@pytest.mark.parametrize(("codes", "status"), [(1024, "healthy"), (6, "codebook_collapse")])
def test_few_rows_of_a_large_codebook_are_judged_by_what_they_can_show(
    codes: int, status: str
) -> None:
    chosen = np.random.default_rng(2).integers(0, codes, 45)
    assert judged(chosen, 1024, Z[:45]).status == status


def test_what_is_left_out_and_guessed_is_said() -> None:
    codes = EVEN.copy()
    codes[20:, 3] = -1
    notes = "; ".join(judged(codes).reasons)
    assert "1,480 of 6,000 codes are -1 and are left out" in notes
    assert "level 4 of 4: 20 indices, not judged" in notes
    assert "codebook of 128 codes by the largest index; codebook_size gives it" in notes
    assert "largest index" not in "; ".join(judged(EVEN, 128).reasons)


@pytest.mark.parametrize(
    ("codes", "size", "message"),
    [
        (EVEN, 100, "codes holds 127; the codebook of level 1 has 100 codes"),
        (EVEN[:, 0], 100, "codes holds 127; the codebook has 100 codes"),
        (EVEN, [128, 128], r"codebook_size has 2 sizes, codes has shape \(1500, 4\)"),
        (EVEN[:, 0], [64, 64], "codebook_size has 2 sizes"),
        (EVEN, 0, "codebook_size is 0; expected the number of codes"),
        (EVEN, 12.5, "codebook_size is 12.5"),
        (EVEN, "many", "codebook_size is many"),
        (np.full((N, 2), -1), None, "nothing but -1"),
        (np.ones(7), 8, "codes are the counts of 7"),
        (None, 8, "codebook_size is given without codes"),
    ],
)
def test_sizes_that_do_not_fit_are_a_value_error(codes: Any, size: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        judged(codes, size)
    assert "\n" not in str(error.value)
