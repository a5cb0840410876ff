"""Named statistics against closed forms: powers, parabolas, orders, and runs that diverge."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from comparison_runs import METRIC, make_run
from jepa_lab.claims.statistics import measure, statistics
from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run, read_run
from jepa_lab.studies.linear_byol import statistics as toy

TAUS = (1e-4, 1e-3, 1e-2)
RATES = tuple(10 ** (k / 2 - 5) for k in range(9))


def toy_run(
    alpha: float, tau: float, value: float = 1.0, *, mode: str = "same", **config: Any
) -> Run:
    """Returns a finished run of the toy. It diverged if the value is not finite."""
    settings = {
        "study": "linear_byol",
        "lr_pred": alpha,
        "lr_enc": alpha,
        "tau": tau,
        "lr_enc_mode": mode,
        "auto_rule": None,
        "step_scale": None,
        "auto_alpha_c": None,
        "sigma_n": 0.5,
        "spectrum_range": [0.1, 100.0],
        **config,
    }
    last = value if math.isfinite(value) else None
    metrics = {key: {"last": last} for key in ("val/excess_loss", "val/W_Fro_raw")}
    verdict = {"status": "healthy" if math.isfinite(value) else "diverged"}
    return Run(
        Path("nowhere"), settings, {"state": "completed"}, {"metrics": metrics, "verdict": verdict}
    )


def grid(power: float) -> list[Run]:
    """Returns runs with a loss that is a parabola in log alpha, lowest at tau ** power / 10."""
    return [
        toy_run(a, t, 10 ** (math.log10(a / (t**power / 10)) ** 2)) for t in TAUS for a in RATES
    ]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_slope_of_the_best_rate_is_its_exponent_in_tau(power: float) -> None:
    found = toy.slope_of_best_rate(grid(power), "val/excess_loss")
    assert found == pytest.approx(power, abs=1e-6)


def test_the_best_rate_is_the_minimum_of_a_parabola_between_grid_points() -> None:
    bottom = 3.3e-3
    values = {rate: 10 ** (math.log10(rate / bottom) ** 2) for rate in RATES}
    assert toy.best_rate(values) == (pytest.approx(bottom), False)
    scaled = {rate: 7 * value for rate, value in values.items()}
    assert toy.best_rate(scaled)[0] == pytest.approx(bottom)


def test_a_best_rate_at_an_end_or_beside_a_divergence_is_a_grid_point() -> None:
    assert toy.best_rate({1.0: 1.0, 2.0: 2.0, 4.0: 3.0}) == (1.0, True)
    assert toy.best_rate({1.0: 3.0, 2.0: 1.0, 4.0: math.inf}) == (2.0, True)
    assert toy.best_rate({1.0: 2.0, 2.0: 1.0, 4.0: 1.0})[0] > 2.0
    assert toy.best_rate({1.0: 1.0, 2.0: 1.0, 4.0: 1.0}) == (1.0, True)


def test_best_rate_over_tau_is_the_logarithm_of_the_ratio() -> None:
    found = toy.best_rate_over_tau(grid(1.0), "val/excess_loss", 1e-3)
    assert found == pytest.approx(-1.0)
    assert toy.best_rate_over_tau(grid(1.0), "val/excess_loss", 0.5) is None


def test_a_grid_with_too_few_taus_or_rates_has_no_slope() -> None:
    assert (
        toy.slope_of_best_rate([r for r in grid(1.0) if r.config["tau"] > 2e-4], "val/excess_loss")
        is None
    )
    assert (
        toy.slope_of_best_rate(
            [r for r in grid(1.0) if r.config["lr_pred"] < 5e-4], "val/excess_loss"
        )
        is None
    )


def test_two_runs_of_one_grid_cell_are_an_error() -> None:
    with pytest.raises(UserError, match=r"two runs have tau=0\.001 and lr_pred"):
        toy.slope_of_best_rate([*grid(1.0), toy_run(RATES[0], 1e-3)], "val/excess_loss")


@pytest.mark.parametrize(("sign", "wanted"), [(1, 1.0), (-1, -1.0)])
def test_the_rank_correlation_of_a_monotone_metric_is_one_or_minus_one(
    sign: int, wanted: float
) -> None:
    runs = [toy_run(a, t, math.exp(sign * 3 * k)) for t in TAUS for k, a in enumerate(RATES[:4])]
    assert toy.rank_correlation(runs, "lr_enc", "val/excess_loss") == pytest.approx(wanted)


def test_a_run_that_diverged_has_the_highest_rank() -> None:
    runs = [
        toy_run(a, t, v) for t in TAUS for a, v in zip(RATES[:3], (1.0, 2.0, math.inf), strict=True)
    ]
    assert toy.rank_correlation(runs, "lr_enc", "val/excess_loss") == pytest.approx(1.0)


def test_a_rule_is_compared_with_the_best_fixed_pair_in_its_worst_metric() -> None:
    fixed = [
        toy_run(a, t, v) for t in TAUS for a, v in zip(RATES[:3], (4.0, 2.0, 8.0), strict=True)
    ]
    auto = {
        "mode": "auto",
        "auto_rule": "two_over_h",
        "step_scale": "published",
        "auto_alpha_c": 0.4,
    }
    runs = [
        *fixed,
        *(toy_run(1.0, t, v, **auto) for t, v in zip(TAUS, (2.0, 20.0, 200.0), strict=True)),
    ]
    asked = {
        "metrics": ["val/excess_loss", "val/W_Fro_raw"],
        "rule": "two_over_h",
        "c": 0.4,
        "scale": "published",
    }
    assert toy.over_best_fixed(runs, **asked) == pytest.approx(1.0)
    assert toy.over_best_fixed(runs, **{**asked, "c": 4}) is None
    gone = [*fixed, *(toy_run(1.0, t, math.inf, **auto) for t in TAUS)]
    assert toy.over_best_fixed(gone, **asked) == math.inf


def test_the_edge_is_the_geometric_mean_of_last_stable_and_first_diverging_rate() -> None:
    assert toy.edge({1.0: False, 4.0: True, 9.0: True}) == pytest.approx(2.0)
    assert toy.edge({1.0: False, 4.0: True, 9.0: False}) == pytest.approx(2.0)
    assert toy.edge({1.0: True, 4.0: True}) is None
    assert toy.edge({1.0: False, 4.0: False}) is None
    bound = 2 / 100.25
    runs = [toy_run(bound * k, 1e-3, 1.0 if k < 5 else math.inf) for k in (1, 2, 8)]
    assert toy.edge_over_bound(runs) == pytest.approx(math.log10(4))
    with pytest.raises(UserError, match="some of these runs diverge and others do not"):
        # of another tau, where that rate is stable
        toy.edge_over_bound([*runs, toy_run(bound * 8, 1e-1)])


def test_a_geometric_mean_with_an_infinite_value_is_infinite() -> None:
    assert toy.geometric([1.0, 100.0]) == pytest.approx(10.0)
    assert toy.geometric([3.0, 300.0]) == pytest.approx(30.0)
    assert toy.geometric([1.0, math.inf]) == math.inf
    assert toy.geometric([]) == math.inf


def test_gap_and_change_are_computed_from_one_run(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, "a", 0, 0.7, extra={"test/probe/class_from_z": 0.5}))
    assert measure(
        "gap", [run], {"metric": METRIC, "less": "test/probe/class_from_z"}
    ) == pytest.approx(0.2)
    assert measure("gap", [run], {"metric": METRIC, "less": "test/none"}) is None
    grown = 1 - math.exp(-100 / 30)
    found = measure("change", [run], {"metric": "val/z/effective_rank"})
    assert found == pytest.approx(20 * 0.7 * grown)
    assert measure("change", [run], {"metric": METRIC}) is None  # measured once


@pytest.mark.parametrize(
    ("codes", "rank", "first"), [(0.02, 6.0, 1.0), (0.6, 1.1, 0.0), (0.6, 6.0, 0.0)]
)
def test_first_to_fall_is_the_part_that_left_its_range_first(
    monkeypatch: pytest.MonkeyPatch, codes: float, rank: float, first: float
) -> None:
    steps = range(50, 1050, 50)
    history = {
        "val/loss/prediction": [(s, 4.0 - s / 500) for s in steps],
        "val/info_nce/chance": [(s, 4.6) for s in steps],
        "val/skill": [(s, s / 2000) for s in steps],
        "val/codebook/usage": [(s, codes if s > 300 else 0.6) for s in steps],
        "val/z_agg/effective_rank": [(s, rank if s > 600 else 6.0) for s in steps],
        "val/z_agg/feature_std_l2": [(s, 0.5) for s in steps],
        "reference/z_agg/effective_rank": [(0, 6.0)],
    }
    monkeypatch.setattr("jepa_lab.studies.arc.statistics.history_of", lambda path: history)
    run = Run(Path("nowhere"), {}, {}, {})
    assert measure("first_to_fall", [run], {"part": "codebook"}) == first
    assert measure("first_to_fall", [run], {"part": "z_agg"}) == float(rank < 2)


def test_every_statistic_of_a_grid_declares_its_axes() -> None:
    gridded = {name for name, statistic in statistics().items() if statistic.axes}
    assert gridded == {
        "slope_of_best_rate",
        "best_rate_over_tau",
        "rank_correlation",
        "over_best_fixed",
        "edge_over_bound",
    }
