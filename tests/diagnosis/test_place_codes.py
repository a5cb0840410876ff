"""Codes that the place alone gives do not tell images apart, however many are in use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jepa_lab.diagnosis import Verdict, diagnose_features

N, V, K = 150, 49, 64
R = np.random.default_rng(0)
Z = (R.normal(size=(N, 1, 32)) + R.normal(size=(N, V, 32))).astype(np.float32)
OF_PLACE = np.repeat(R.permutation(K)[None, :V], N, axis=0)
FREE = R.integers(0, K, (N, V))
SAME = "the code at a place is the same in"


def changed(share: float) -> np.ndarray:
    return np.where(np.random.default_rng(1).random((N, V)) < share, FREE, OF_PLACE)


def judged(codes: Any, z: np.ndarray = Z, size: Any = K) -> Verdict:
    return diagnose_features(z, codes=codes, codebook_size=size)


@pytest.mark.parametrize(
    ("codes", "z"),
    [
        (OF_PLACE, Z),
        (OF_PLACE.reshape(-1), Z),
        (OF_PLACE.reshape(N, 7, 7), Z),
        (OF_PLACE, Z[:, 0]),  # tokens of one codebook, a row for each image
        (np.where(R.random((N, V)) < 0.5, -1, OF_PLACE), Z),
    ],
)
def test_codes_of_the_place_alone_are_a_codebook_failure(codes: np.ndarray, z: np.ndarray) -> None:
    verdict = judged(codes, z)
    assert verdict.status == "codebook_collapse"
    assert f"{SAME} all images" in verdict.reasons[0]
    assert verdict.per_tap == {"z": "healthy", "codebook": "codebook_collapse"}
    assert verdict.evidence["codebook/other_at_place"] == 0.0
    assert verdict.evidence["codebook/usage"] == pytest.approx(V / K)


def test_every_level_is_judged_by_its_places() -> None:
    for axis in (1, 2):
        verdict = judged(np.stack([FREE, OF_PLACE, FREE], axis))
        assert verdict.status == "codebook_collapse"
        assert verdict.reasons[0].startswith(f"level 2 of 3: {SAME} all images")
        assert "level 1" not in verdict.reasons[0]
    assert judged(np.stack([FREE, FREE], 2)).status == "healthy"


@pytest.mark.parametrize(
    ("share", "status", "said"),
    [
        (0.004, "codebook_collapse", "99.7 % of the images"),
        (0.05, "healthy", "95.2 % of the images"),
        (0.2, "healthy", ""),
    ],
)
def test_a_few_codes_that_differ_are_weighed(share: float, status: str, said: str) -> None:
    verdict = judged(changed(share))
    assert verdict.status == status, verdict.line()
    assert said in verdict.line()
    assert (SAME in verdict.line()) == bool(said)


def on_empty_ground(inside: int) -> np.ndarray:
    """Returns codes of images that are empty but for a few places."""
    codes = np.full((N, V), 5)
    codes[:, 20 : 20 + inside] = FREE[:, :inside]
    return codes


@pytest.mark.parametrize(
    ("codes", "z", "size"),
    [
        (FREE, Z, K),
        (np.repeat(R.integers(0, K, (N, 1)), V, axis=1), Z, K),  # one code for each image
        (on_empty_ground(16), Z, K),
        (FREE[:, :1], Z[:, :1], K),  # one place
        (FREE[:, 0], Z[:, 0], K),
        (OF_PLACE[:20], Z[:20], K),  # too few images
        (FREE % 2, Z, 2),
        (FREE[:90], Z[:, 0], K),  # codes of other rows
    ],
)
def test_codes_that_differ_between_images_need_no_word(
    codes: np.ndarray, z: np.ndarray, size: int
) -> None:
    verdict = judged(codes, z, size)
    assert verdict.status in ("healthy", "inconclusive"), verdict.line()
    assert SAME not in verdict.line()


def test_a_ground_that_is_empty_everywhere_is_no_code_of_the_place() -> None:
    assert SAME not in judged(on_empty_ground(2)).line()
