"""Features of several views, tokens or frames of an image are judged over the images too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from jepa_lab.diagnosis import diagnose_features

Rng = np.random.Generator
D = 48


def n(r: Rng, *shape: int) -> np.ndarray:
    return r.normal(size=shape).astype(np.float32)


def registers(r: Rng) -> np.ndarray:
    """Returns tokens with an artefact: one token of each image, anywhere, is 300 times as long."""
    z = n(r, 120, 40, D) + n(r, 120, 1, D)
    z[np.arange(120), r.integers(0, 40, 120)] *= 300
    return z


def padded(r: Rng) -> np.ndarray:
    z = n(r, 150, 20, D) + n(r, 150, 1, D)
    for k, length in enumerate(r.integers(3, 21, 150)):
        z[k, length:] = 0
    return z


def summary_token(r: Rng) -> np.ndarray:
    z = n(r, 150, 17, D) + n(r, 150, 1, D)
    z[:, 0] = n(r, 1, D)
    return z


ALIKE = "images are not told apart"
UNRELATED = "have nothing in common"
CASES: list[tuple[str, Callable[[Rng], np.ndarray], str, tuple[str, ...], tuple[str, ...]]] = [
    (
        "place alone",
        lambda r: n(r, 1, 30, D) + 1e-3 * n(r, 100, 30, D),
        "complete_collapse",
        (ALIKE, "over 99 % of the variance"),
        (),
    ),
    (
        "place alone, exactly",
        lambda r: n(r, 1, 30, D).repeat(100, 0),
        "complete_collapse",
        (ALIKE,),
        (),
    ),
    (
        "place and content",
        lambda r: 2 * n(r, 1, 30, D) + n(r, 100, 30, D),
        "healthy",
        ("79 % of the variance is that of the 30 places",),
        (ALIKE,),
    ),
    (
        "place and the image",
        lambda r: n(r, 1, 30, D) + n(r, 100, 1, D) + n(r, 100, 30, D),
        "healthy",
        ("33 % of the variance",),
        (ALIKE, UNRELATED),
    ),
    (
        "place and one direction",
        lambda r: n(r, 1, 30, D) + n(r, 100, 30, 1) * n(r, 1, 1, D) / 2,
        "dimensional_collapse",
        ("over images, without their places: effective rank 1.0",),
        (),
    ),
    (
        "views of an image",
        lambda r: n(r, 150, 1, D) + n(r, 150, 4, D),
        "healthy",
        (),
        ("%", ALIKE, UNRELATED),
    ),
    (
        "unrelated views",
        lambda r: n(r, 150, 4, D),
        "healthy",
        ("the 4 views of an image have nothing in common",),
        (ALIKE,),
    ),
    (
        "equal views",
        lambda r: n(r, 150, 1, D).repeat(4, 1),
        "healthy",
        ("the 4 views of an image are the same up to their place",),
        (UNRELATED,),
    ),
    (
        "frames of a still film",
        lambda r: n(r, 150, 1, D) + 0.02 * n(r, 150, 8, D),
        "healthy",
        ("the 8 views of an image are the same but for small differences (correlation 0.999",),
        ("same up to their place",),
    ),
    (
        "frames that are alike",
        lambda r: n(r, 150, 1, D) + 0.1 * n(r, 150, 8, D),
        "healthy",
        (),
        ("are the same",),
    ),
    (
        "images gathered 3 times",
        lambda r: np.tile(n(r, 50, 1, D) + n(r, 50, 4, D), (3, 1, 1)),
        "healthy",
        ("100 of 150 images (2 of 3) are identical",),
        (),
    ),
    (
        "views before images",
        lambda r: np.stack([n(r, 300, D)] * 2) + 0.3 * n(r, 2, 300, D),
        "healthy",
        ("2 images of 300 views", "check the order"),
        (ALIKE,),
    ),
    (
        "tokens with artefacts",
        registers,
        "healthy",
        ("120 of 4,800 rows hold over 99 % of the variance",),
        (ALIKE, UNRELATED),
    ),
    (
        "sequences with padding",
        padded,
        "healthy",
        ("rows are all zero, in blocks",),
        (ALIKE, UNRELATED),
    ),
    (
        "a constant first token",
        summary_token,
        "healthy",
        ("150 of 2,550 rows are one and the same row, at place 0",),
        (ALIKE,),
    ),
]


@pytest.mark.parametrize(
    ("make", "status", "said", "unsaid"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_images_are_judged_beside_rows(
    make: Callable[[Rng], np.ndarray], status: str, said: tuple[str, ...], unsaid: tuple[str, ...]
) -> None:
    verdict = diagnose_features(make(np.random.default_rng(0)))
    assert verdict.status == status, verdict.line()
    for words in said:
        assert words in verdict.line()
    for words in unsaid:
        assert words not in verdict.line()


def test_labels_are_read_from_all_views() -> None:
    r = np.random.default_rng(0)
    y = np.arange(200) % 5
    z = n(r, 200, 9, D) + n(r, 5, D)[y][:, None]
    z[:, 0] = n(r, 1, D) + 1e-4 * n(r, 200, D)  # a summary token that holds nothing
    assert diagnose_features(z, labels=y).evidence["neighbour_accuracy"] == 1.0
