"""Rows that are not independent: the nearest neighbour of a frame is the next frame of its film,
which says little about labels."""

from __future__ import annotations

import numpy as np
import pytest

from jepa_lab.diagnosis import diagnose_features

D, FILMS, FRAMES = 48, 30, 50
WORDS = "is an adjacent one, before or after it"
TOLD = "yet the labels are told apart"
Features = tuple[np.ndarray, np.ndarray]


def films(signal: float, d: int = D, frames: int = FRAMES) -> Features:
    """Returns the frames of films in order, which drift, with the class of the film. `signal` is
    the distance of the classes."""
    r = np.random.default_rng(0)
    film = np.repeat(np.arange(FILMS), frames)
    y = r.permutation(np.repeat(np.arange(10), FILMS // 10))[film]
    drift = np.concatenate(
        [np.cumsum(0.3 * r.normal(size=(frames, d)), axis=0) for _ in range(FILMS)]
    )
    return 3 * r.normal(size=(FILMS, d))[film] + drift + signal * r.normal(size=(10, d))[y], y


def classes(sizes: int, count: int) -> Features:
    r = np.random.default_rng(0)
    y = np.repeat(np.arange(count), sizes)
    return 2.5 * r.normal(size=(count, D))[y] + r.normal(size=(len(y), D)), y


@pytest.mark.parametrize("frames", [8, 50, 150])
def test_neighbours_in_one_film_are_said_and_passed_over(frames: int) -> None:
    z, y = films(0.0, frames=frames)
    verdict = diagnose_features(z, labels=y)
    assert WORDS in verdict.line()
    assert "among rows further apart" in verdict.line()
    assert verdict.evidence["separability"] < 0.2
    assert verdict.status == "healthy"


def test_films_of_a_class_that_are_alike_are_still_told_apart() -> None:
    z, y = films(8.0)
    verdict = diagnose_features(z, labels=y)
    assert WORDS in verdict.line()
    assert verdict.evidence["separability"] > 0.9


def test_frames_of_one_film_do_not_excuse_a_collapse() -> None:
    z, y = films(0.0)
    assert diagnose_features(z + 1000).status == "complete_collapse"
    verdict = diagnose_features(z + 1000, labels=y)
    assert verdict.status == "complete_collapse"
    assert WORDS in verdict.line()
    assert TOLD not in verdict.line()
    one_each = diagnose_features(z + 1000, labels=np.repeat(np.arange(FILMS), FRAMES))
    assert one_each.status == "complete_collapse"


def test_films_of_a_class_that_are_alike_excuse_a_collapse() -> None:
    z, y = films(8.0)
    assert diagnose_features(z + 3000).status == "complete_collapse"
    verdict = diagnose_features(z + 3000, labels=y)
    assert verdict.status in ("healthy", "low_rank")
    assert TOLD in verdict.line()


def test_one_film_for_each_class_says_nothing_of_the_class() -> None:
    z, _ = films(0.0)
    verdict = diagnose_features(z, labels=np.repeat(np.arange(FILMS), FRAMES))
    assert "no row further away shares a label" in verdict.line()
    assert "separability" not in verdict.evidence
    long = np.cumsum(np.random.default_rng(0).normal(size=(1000, D)), axis=0)
    verdict = diagnose_features(long, labels=np.arange(1000) // 50 % 5)
    assert "no row is far enough away" in verdict.line()


def test_clips_in_order_are_called_images() -> None:
    z, y = films(0.0)
    verdict = diagnose_features(z[:, None] + np.zeros((1, 2, 1)), labels=y)
    assert "% of the images is an adjacent one" in verdict.line()


@pytest.mark.parametrize(("size", "count"), [(2, 300), (3, 200), (4, 500), (50, 10), (600, 2)])
def test_rows_sorted_by_class_are_no_films(size: int, count: int) -> None:
    z, y = classes(size, count)
    verdict = diagnose_features(z, labels=y)
    assert WORDS not in verdict.line()
    assert verdict.evidence["neighbour_accuracy"] > 0.9


def test_shuffled_frames_are_not_adjacent() -> None:
    z, y = films(0.0)
    order = np.random.default_rng(1).permutation(len(z))
    verdict = diagnose_features(z[order], labels=y[order])
    assert WORDS not in verdict.line()
    assert verdict.evidence["neighbour_accuracy"] > 0.9
