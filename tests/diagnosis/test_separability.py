"""Labels are compared with what chance leaves, and can contradict a collapse."""

from __future__ import annotations

import numpy as np
import pytest

from jepa_lab.diagnosis import diagnose_features

D = 32
R = np.random.default_rng
CHANCE = "do not separate the labels"


def normal(r: np.random.Generator, *shape: int) -> np.ndarray:
    return r.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("share", [0.02, 0.08, 0.3, 0.5, 0.92])
def test_unequal_classes_are_compared_with_what_chance_leaves(share: float) -> None:
    r = R(0)
    y = (r.random(1500) < share).astype(int)
    z = normal(r, 1500, D)
    told = diagnose_features(z + 3 * normal(r, 1, D) * y[:, None], labels=y)
    assert told.evidence["separability"] > 0.9
    assert CHANCE not in told.line()
    unknown = diagnose_features(z, labels=y)
    assert unknown.status == "healthy"
    assert abs(unknown.evidence["separability"]) < 0.1
    assert CHANCE in unknown.line()


def test_a_small_class_that_is_lost_is_said() -> None:
    r = R(0)
    y = np.repeat([0, 1, 2], [900, 60, 40])
    z = normal(r, 1000, D)
    z[y == 1] += 4 * normal(r, 1, D)
    assert "1 of 3 classes are at chance" in diagnose_features(z, labels=y).line()


def two_clusters(r: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(500) % 2
    return normal(r, 2, D)[y] + 1e-2 * normal(r, 500, D), y


def classes_on_a_line(r: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(500) % 6
    return (y[:, None] + 0.02 * normal(r, 500, 1)) * normal(r, 1, D), y


def nearly_uniform(r: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(500) % 8
    logits = 0.05 * (2 * np.eye(D)[y] + normal(r, 500, D) / 4)
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), y


def common_mean(r: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(500) % 5
    return normal(r, 5, D)[y] + 0.4 * normal(r, 500, D) + 100, y


@pytest.mark.parametrize(
    ("make", "alone", "heard"),
    [
        (two_clusters, "dimensional_collapse", "low_rank"),
        (classes_on_a_line, "dimensional_collapse", "low_rank"),
        (nearly_uniform, "uniform_output", "healthy"),
        (common_mean, "complete_collapse", "healthy"),
    ],
)
def test_labels_that_are_told_apart_contradict_a_collapse(
    make: object, alone: str, heard: str
) -> None:
    z, y = make(R(0))  # type: ignore[operator]
    assert diagnose_features(z).status == alone
    verdict = diagnose_features(z, labels=y)
    assert verdict.status == heard, verdict.line()
    assert "yet the labels are told apart, so this is no collapse" in verdict.line()
    shuffled = diagnose_features(z, labels=R(1).permutation(y))
    assert shuffled.status == alone
    assert CHANCE in shuffled.line()


def test_labels_of_which_little_is_left_do_not_excuse_a_collapse() -> None:
    r = R(0)
    y = np.arange(500) % 10
    z = normal(r, 2, D)[y // 5] + 1e-2 * normal(r, 500, D)
    verdict = diagnose_features(z, labels=y)
    assert verdict.status == "dimensional_collapse"
    assert 0.05 < verdict.evidence["separability"] < 0.3


def many_classes(r: np.random.Generator, k: int, signal: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns k classes of 4 rows in few directions."""
    y = r.permutation(np.repeat(np.arange(k), 4))
    z = signal * normal(r, k, 128)[y] + 0.75 * normal(r, 4 * k, 128)
    return z * np.arange(1, 129) ** -1.25, y


def test_many_times_chance_is_told_apart_in_part() -> None:
    z, y = many_classes(R(0), 500, 0.82)
    verdict = diagnose_features(z, labels=y)
    assert 0.05 < verdict.evidence["separability"] < 0.1
    assert verdict.status == "low_rank"
    assert CHANCE not in verdict.line()
    assert "chance 0.0015" in verdict.line()
    assert "times chance" in verdict.line()


@pytest.mark.parametrize("k", [40, 500])
def test_many_classes_at_chance_are_not_told_apart(k: int) -> None:
    z, y = many_classes(R(0), k, 0.0)
    verdict = diagnose_features(z, labels=y)
    assert verdict.status == "dimensional_collapse"
    assert CHANCE in verdict.line()
    assert "times chance" not in verdict.line()


def test_few_classes_little_above_chance_are_not_told_apart() -> None:
    r = R(0)
    y = np.arange(1800) % 4
    verdict = diagnose_features(normal(r, 1800, D) + 0.13 * normal(r, 4, D)[y], labels=y)
    assert 0.05 < verdict.evidence["separability"] < 0.1  # more than two standard errors
    assert CHANCE in verdict.line()
