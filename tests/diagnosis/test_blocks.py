"""Rows of several processes in turn, as a distributed sampler orders them, are found by the means
of every k-th row; classes that alternate are no processes."""

from __future__ import annotations

import numpy as np
import pytest

from jepa_lab.diagnosis import diagnose_features

D = 64
WORDS = "groups of rows, each of every"


def of_processes(k: int, n: int = 1200, shift: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    """Returns ten classes, where row i has the shift of process i mod k."""
    r = np.random.default_rng(0)
    y = r.integers(0, 10, n)
    z = 2 * r.normal(size=(10, D))[y] + r.normal(size=(n, D))
    return z + shift * r.normal(size=(k, D))[np.arange(n) % k], y


@pytest.mark.parametrize(
    ("k", "every"),
    [(2, "2nd"), (3, "3rd"), (4, "4th"), (5, "5th"), (6, "6th"), (7, "7th"), (8, "8th")],
)
@pytest.mark.parametrize("n", [1200, 1201])
def test_processes_in_turn_are_found(k: int, every: str, n: int) -> None:
    z, y = of_processes(k, n)
    alone = diagnose_features(z).line()
    assert f"the means of {k} {WORDS} {every} row, hold" in alone
    assert "classes that alternate, or rows gathered from processes" in alone
    heard = diagnose_features(z, labels=y).line()
    assert f"the means of {k} {WORDS} {every} row, hold" in heard
    assert "classes that alternate" not in heard


def test_rows_that_are_left_out_do_not_move_the_others() -> None:
    z, _ = of_processes(2)
    z[100:161] = 0
    assert f"the means of 2 {WORDS} 2nd row" in diagnose_features(z).line()


@pytest.mark.parametrize("k", [2, 4, 8])
def test_classes_that_alternate_are_no_processes(k: int) -> None:
    z, _ = of_processes(k)
    y = np.arange(len(z)) % k
    assert WORDS not in diagnose_features(z, labels=y).line()
    finer = y + k * np.random.default_rng(1).integers(0, 3, len(z))
    assert WORDS not in diagnose_features(z, labels=finer).line()


def test_unknown_labels_explain_nothing() -> None:
    z, y = of_processes(2)
    y[::3] = -1
    assert WORDS in diagnose_features(z, labels=y).line()


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_a_shift_smaller_than_the_differences_needs_no_word(shift: float) -> None:
    z, y = of_processes(2, shift=shift)
    assert WORDS not in diagnose_features(z).line()
    assert WORDS not in diagnose_features(z, labels=y).line()


def test_consecutive_blocks_do_not_alternate() -> None:
    z, _ = of_processes(2)
    blocks = np.concatenate([z[::2], z[1::2]])
    line = diagnose_features(blocks).line()
    assert "the means of 2 blocks of consecutive rows hold" in line
    assert WORDS not in line
    shuffled = z[np.random.default_rng(1).permutation(len(z))]
    assert WORDS not in diagnose_features(shuffled).line()
