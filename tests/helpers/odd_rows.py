"""Features with rows that are no samples, and features that only look like it, with what has to be
said of them. The answers follow from how the rows were made."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Rng = np.random.Generator
Labelled = tuple[np.ndarray, np.ndarray]
Made = tuple[np.ndarray, np.ndarray | None]
K = 10


class Case(NamedTuple):
    """A situation: its name, features with labels, the status, words that are said, words that are
    not, and the neighbour accuracy."""

    name: str
    make: Callable[[Rng], Made]
    status: str
    said: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    accuracy: float | None = None


def noise(r: Rng, n: int = 500, d: int = 48) -> Labelled:
    return r.normal(size=(n, d)).astype(np.float32), np.arange(n) % K


def classes(r: Rng, n: int = 600, d: int = 48) -> Labelled:
    y = r.integers(0, K, n)
    return (r.normal(size=(K, d))[y] + 0.6 * r.normal(size=(n, d))).astype(np.float32), y


def gathered(r: Rng, times: int, blur: float = 0.0) -> Labelled:
    z, y = noise(r)
    several = [z * (1 + blur * r.normal(size=z.shape)) for _ in range(times)]
    return np.concatenate(several).astype(np.float32), np.tile(y, times)


def half_and_single(r: Rng) -> Labelled:
    z, y = noise(r)
    return np.concatenate([z, z.astype(np.float16).astype(np.float32)]), np.tile(y, 2)


def wrapped(r: Rng) -> Labelled:
    """Returns rows of which a sampler repeated the first to fill the last batch."""
    z, y = classes(r)
    return np.concatenate([z, z[:40]]), np.concatenate([y, y[:40]])


def duplicates(r: Rng) -> Labelled:
    z, y = classes(r)
    rows = [5, 50, 300, 411, 12, 80]
    return np.concatenate([z, z[rows]]), np.append(y, y[rows])


def marked(make: Callable[[Rng], Made], rows: slice, value: float) -> Callable[[Rng], Made]:
    """Returns features of which some rows are a constant."""

    def changed(r: Rng) -> Made:
        z, y = make(r)
        z[rows] = value
        return z, y

    return changed


def scattered(r: Rng, share: float) -> Made:
    z, y = classes(r)
    z[r.random(len(z)) < share] = 0
    return z, y


def never_written(r: Rng) -> Made:
    z, y = classes(r)
    z = z.astype(np.float64)
    z[550:] = r.choice([0.0, 1e-310, 7e180], size=(50, z.shape[1]))
    return z, y


def huge(make: Callable[[Rng], Made], factor: float = 2e3) -> Callable[[Rng], Made]:
    def changed(r: Rng) -> Made:
        z, y = make(r)
        z[[3, 444, 470]] *= factor
        return z, y

    return changed


def constant(r: Rng) -> Made:
    return (1 + 1e-3 * r.normal(size=(500, 32))).astype(np.float32), None


def rank_1(r: Rng) -> Made:
    return (r.normal(size=(500, 1)) @ r.normal(size=(1, 32))).astype(np.float32), None


def one_hot(r: Rng, k: int) -> Made:
    y = r.integers(0, k, 800)
    return np.eye(k, dtype=np.float32)[y], y


def quantised(r: Rng) -> Made:
    codes = r.integers(0, 64, 1500)
    return r.normal(size=(64, 32)).astype(np.float32)[codes], codes % 8


def same_row_other_label(r: Rng) -> Made:
    z, _ = noise(r, 300)
    return np.concatenate([z, z]), r.integers(0, K, 600)


def far_class(r: Rng) -> Made:
    z, _ = noise(r, 1000)
    z[:150] += 30 * r.normal(size=(1, 48))
    return z, (np.arange(1000) < 150).astype(int)


def heavy_tails(r: Rng) -> Labelled:
    z, y = noise(r, 1000)
    return z / np.sqrt(r.chisquare(3, size=(1000, 1)) / 3), y


def by_process(r: Rng) -> Made:
    z, _ = noise(r, 600)
    return z + np.repeat(12 * r.normal(size=(2, 48)), 300, axis=0), None


def other_order(r: Rng) -> Labelled:
    z, y = classes(r)
    return z, y.reshape(-1, 4).T.reshape(-1)


CASES = [
    Case(
        "gathered 4 times",
        lambda r: gathered(r, 4),
        "healthy",
        ("1,500 of 2,000 rows (3 of 4) are identical", "without them: "),
        accuracy=0.1,
    ),
    Case(
        "gathered with rounding",
        lambda r: gathered(r, 3, 1e-3),
        "healthy",
        ("1,000 of 1,500 rows (2 of 3) are identical to an earlier one but for rounding",),
        accuracy=0.1,
    ),
    Case(
        "half and single precision",
        half_and_single,
        "healthy",
        ("500 of 1,000 rows (1 of 2)",),
        accuracy=0.1,
    ),
    Case(
        "few rows gathered 8 times",
        lambda r: (np.tile(noise(r, 20)[0], (8, 1)), None),
        "inconclusive",
        ("140 of 160 rows (7 of 8)", "20 rows are left; 32 are needed"),
    ),
    Case(
        "last batch filled up", wrapped, "healthy", ("40 of 640 rows are identical",), accuracy=1.0
    ),
    Case("1 % of duplicates", duplicates, "healthy", (), ("identical", "without them"), 1.0),
    Case("one-hot rows", lambda r: one_hot(r, 12), "healthy", (), ("identical", "rows are"), 1.0),
    Case(
        "many one-hot rows",
        lambda r: one_hot(r, 100),
        "healthy",
        (),
        ("identical", "rows are"),
        1.0,
    ),
    Case(
        "binary rows",
        lambda r: ((r.random((900, 6)) < 0.5).astype(np.float32), None),
        "healthy",
        (),
        ("identical",),
    ),
    Case(
        "values of a codebook",
        quantised,
        "healthy",
        ("take only 64 different values",),
        ("identical",),
        1.0,
    ),
    Case(
        "equal rows of other labels",
        same_row_other_label,
        "healthy",
        ("with another label: different samples",),
        ("without them",),
    ),
    Case(
        "zeros at the end",
        marked(classes, slice(400, None), 0),
        "healthy",
        ("200 of 600 rows are all zero, the last ones; without them",),
        accuracy=1.0,
    ),
    Case(
        "a constant at the end",
        marked(classes, slice(450, None), 0.7),
        "healthy",
        ("150 of 600 rows are one and the same row, the last ones",),
        accuracy=1.0,
    ),
    Case(
        "zeros in a tenth",
        lambda r: scattered(r, 0.1),
        "healthy",
        ("rows are all zero; without them",),
        accuracy=1.0,
    ),
    Case("three zeros", marked(classes, slice(0, 3), 0), "healthy", (), ("all zero",)),
    Case(
        "most inputs encoded as zero",
        lambda r: scattered(r, 0.85),
        "complete_collapse",
        ("most inputs are encoded alike", "rows alone: healthy"),
    ),
    Case("all zero", lambda r: (np.zeros((100, 8)), None), "complete_collapse"),
    Case(
        "memory never written",
        never_written,
        "healthy",
        ("50 of 600 rows have values up to 7e+180, the last ones",),
        accuracy=1.0,
    ),
    Case(
        "three huge rows",
        huge(classes),
        "healthy",
        ("3 of 600 rows hold over 99 % of the variance; without them",),
        accuracy=1.0,
    ),
    Case(
        "a constant and three huge rows",
        huge(constant),
        "complete_collapse",
        ("3 of 500 rows hold",),
    ),
    Case(
        "rank 1 and three huge rows",
        huge(rank_1, 300),
        "dimensional_collapse",
        ("3 of 500 rows hold",),
    ),
    Case("a class far away", far_class, "low_rank", (), ("without them",), 1.0),
    Case("heavy tails", heavy_tails, "healthy", (), ("without them",)),
    Case(
        "two processes",
        by_process,
        "dimensional_collapse",
        ("the means of 2 blocks of consecutive rows hold",),
    ),
    Case(
        "labels in another order",
        other_order,
        "healthy",
        ("taken as gathered from 4 processes, the accuracy is 1.00",),
    ),
]
