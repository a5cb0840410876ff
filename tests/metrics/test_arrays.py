"""Every public metric takes arrays of NumPy as it takes tensors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lab import metrics
from jepa_lab.metrics import CollapseStatistics, Distributions, Moments, Spectrum
from jepa_lab.metrics.arrays import as_tensor

RNG = np.random.default_rng(0)
Z, OTHER = RNG.normal(size=(60, 8)), RNG.normal(size=(60, 8))
VIEWS = RNG.normal(size=(40, 3, 8))
COUNTS = np.array([5, 0, 3, 1])
CODES, BOOK = RNG.integers(0, 4, 60), RNG.normal(size=(4, 8))
ROWS = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
Q = np.linalg.qr(Z.T[:, :8])[0]

Convert = Callable[[np.ndarray], Any]


def added(kind: type, rows: np.ndarray, read: Callable[[Any], Any]) -> Callable[[Convert], Any]:
    def call(to: Convert) -> Any:
        statistics = kind()
        for part in np.array_split(rows, 3):
            statistics.update(to(part))
        return read(statistics)

    return call


def of(name: str, *arrays: Any) -> Callable[[Convert], Any]:
    return lambda to: getattr(metrics, name)(
        *(to(x) if isinstance(x, np.ndarray) else x for x in arrays)
    )


OF_FEATURES = (
    "alpha_req",
    "collapse_metrics",
    "condition_number",
    "dead_share",
    "effective_rank",
    "eigenvalue_ratio",
    "feature_std",
    "feature_std_l2",
    "feature_std_min",
    "isotropy",
    "mean_norm",
    "mean_pairwise_cosine",
    "mean_to_std_ratio",
    "nesum",
    "off_diagonal_correlation",
    "participation_ratio",
    "rankme",
    "spectral_cliff",
    "stable_rank",
    "top_share",
    "uniformity",
)
CASES: dict[str, Callable[[Convert], Any]] = {
    "CollapseStatistics": added(CollapseStatistics, Z, lambda s: s.values()),
    "Distributions": added(Distributions, ROWS, lambda s: s.values()),
    "Moments": added(Moments, Z, lambda s: s.scatter),
    "Spectrum": lambda to: [
        Spectrum.of(to(Z)).centred,
        Spectrum.of_scatter(to(Z.T @ Z), to(Z[0]), 60).uncentred,
    ],
    "assignment_churn": of("assignment_churn", CODES, CODES[::-1]),
    "code_norms": of("code_norms", BOOK),
    "codebook_churn": of("codebook_churn", Z, BOOK, BOOK + 1),
    "coordinate_participation": of("coordinate_participation", Q[:, :3]),
    "dead_code_age": of("dead_code_age", COUNTS, 9),
    "explained_variance": of("explained_variance", Z, 2),
    "factor_bases": lambda to: metrics.factor_bases(to(Z), to(OTHER[:, :2]), {"a": slice(0, 2)}),
    "loss_over_ln_k": of("loss_over_ln_k", np.float64(1.5), 9),
    "parameter_drift": lambda to: metrics.parameter_drift([to(Z)], [to(OTHER)]),
    "perplexity": of("perplexity", COUNTS),
    "subspace_overlap": of("subspace_overlap", Q[:, :3], Q[:, 1:4]),
    "usage": of("usage", COUNTS),
    **{name: of(name, VIEWS) for name in ("lidar", "view_metrics", "within_share")},
    **{
        name: of(name, Z, OTHER)
        for name in ("alignment", "drift", "invariance_error", "quantisation_error", "r2_per_dim")
    },
    **{
        name: of(name, ROWS)
        for name in ("distribution_statistics", "prototype_usage", "teacher_entropy")
    },
    "kl": of("kl", ROWS, ROWS[::-1].copy()),
    **{name: of(name, Z) for name in OF_FEATURES},
}


def numbers(found: Any) -> list[np.ndarray]:
    if isinstance(found, Mapping):
        return [x for name in sorted(found) for x in numbers(found[name])]
    if isinstance(found, list | tuple):
        return [x for each in found for x in numbers(each)]
    return [np.asarray(found)]


def same(one: Any, other: Any, rounding: float = 0.0) -> None:
    for a, b in zip(numbers(one), numbers(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=rounding, atol=0)


def test_every_public_metric_has_a_case() -> None:
    assert set(CASES) == set(metrics.__all__)


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_array_gives_the_very_number_of_the_tensor(name: str) -> None:
    with_tensors = CASES[name](lambda array: torch.from_numpy(np.ascontiguousarray(array)))
    same(CASES[name](lambda array: array), with_tensors)


@pytest.mark.parametrize(
    "change",
    [
        lambda z: z.astype(np.float32),
        lambda z: z.astype(np.float16),
        lambda z: z.astype(">f8"),
        lambda z: z.astype(np.longdouble),
        lambda z: np.asfortranarray(z),
        lambda z: z[::-1, ::2],
        lambda z: (100 * z).astype(np.int32),
        lambda z: (100 * abs(z)).astype(np.uint16),
        lambda z: z > 0,
    ],
)
def test_arrays_of_any_type_and_layout_are_read_in_full_precision(
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    changed = change(Z)
    plain = torch.tensor(changed.astype(np.float64).tolist(), dtype=torch.float64)
    same(metrics.effective_rank(changed), metrics.effective_rank(plain), 1e-12)
    same(metrics.collapse_metrics(changed), metrics.collapse_metrics(plain), 1e-9)


def test_small_differences_survive_in_double_precision() -> None:
    z = 1.0 + 1e-12 * Z
    assert float(metrics.feature_std(z)) == pytest.approx(1e-12 * Z.std(0, ddof=1).mean(), rel=1e-3)


def test_whole_numbers_stay_whole_and_fractions_are_no_indices() -> None:
    assert as_tensor(CODES).dtype == torch.int64
    assert float(metrics.assignment_churn(CODES, CODES)) == 0
    with pytest.raises(ValueError, match="code indices must be integers"):
        metrics.assignment_churn(CODES.astype(float), CODES)


def test_an_array_that_is_filled_again_is_not_measured_twice() -> None:
    statistics, moments, buffer = CollapseStatistics(), Moments(), np.empty((20, 8))
    for k in range(3):
        buffer[:] = Z[20 * k : 20 * k + 20]
        statistics.update(buffer)
        moments.update(buffer)
    same(statistics.values(), CASES["CollapseStatistics"](lambda array: array))
    same(moments.scatter, CASES["Moments"](lambda array: array))


def test_an_array_that_must_not_be_written_gives_no_warning() -> None:
    z = Z.copy()
    z.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.rankme(z)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (Z.astype(complex), "an array of numbers, got complex128"),
        (Z.astype(str), "an array of numbers, got <U"),
        (np.array([[None, 1.0]] * 4), "an array of numbers, got object"),
        (np.ma.array(Z, mask=Z > 1), "without masked values"),
        (Z[0], r"expected features \(n, d\), n >= 2, got \(8,\)"),
        (np.full((9, 3), np.nan), "are not finite"),
    ],
)
def test_other_arrays_are_a_value_error(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.effective_rank(values)
