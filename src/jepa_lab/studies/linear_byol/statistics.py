"""Statistics of the linear BYOL toy's grids: the best learning rate, the rate at which runs
diverge, and how much worse an automatic rule is than the best fixed rates.

A diverged run has the value infinity, the worst. Rates are compared on logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run, diverged
from jepa_lab.studies.linear_byol.key_groups import MODE_KEYS
from jepa_lab.studies.statistic import Statistic

GRID = ("lr_pred", "lr_enc", "lr_pred_setting", "lr_enc_setting", "ema_m", "tau")
MODES = (*GRID, "lr_enc_mode", *MODE_KEYS)
FEWEST_RATES = 5  # for a best rate
FEWEST_POINTS = 3  # for a slope or a correlation
LEAST = 1e-16  # smaller values count as this one in a logarithm


def best_rate(values: Mapping[float, float]) -> tuple[float, bool]:
    """Returns the rate with the lowest value, and whether it lies at the edge. `values` maps each
    rate to its value.

    The rate is interpolated by the parabola through the logarithms of the lowest value and its two
    neighbours. There is no parabola at the edge: at an end of the grid, or beside a rate that
    diverged.
    """
    rates = sorted(values)
    logs = [math.log10(max(values[rate], LEAST)) for rate in rates]
    at = int(np.argmin(logs))
    if at in (0, len(rates) - 1) or not (
        math.isfinite(logs[at + 1]) and math.isfinite(logs[at - 1])
    ):
        return rates[at], True
    left, middle, right = logs[at - 1 : at + 2]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend > 0 else 0.0
    step = math.log10(rates[at + 1] / rates[at])
    return float(10 ** (math.log10(rates[at]) + shift * step)), False


def slope(points: Mapping[float, float]) -> float:
    """Returns the least-squares slope of log10 of the values over log10 of the keys: 1 for y = c x,
    0 for a constant."""
    keys = sorted(points)
    return float(np.polyfit(np.log10(keys), np.log10([points[key] for key in keys]), 1)[0])


def geometric(values: Iterable[float]) -> float:
    """Returns the geometric mean. It is infinite if a value is infinite or if there are
    no values."""
    logs = [math.log10(max(value, LEAST)) if math.isfinite(value) else math.inf for value in values]
    return float(10 ** np.mean(logs)) if logs and all(map(math.isfinite, logs)) else math.inf


def edge(diverges: Mapping[float, bool]) -> float | None:
    """Returns the rate at which runs begin to diverge. `diverges` maps each rate to whether its run
    diverged.

    It is the geometric mean of the lowest rate that diverges and the rate below it. It is None if
    no rate diverges, or if the lowest one does.
    """
    rates = sorted(diverges)
    first = next((at for at, rate in enumerate(rates) if diverges[rate]), None)
    return math.sqrt(rates[first - 1] * rates[first]) if first else None


def slope_of_best_rate(runs: Sequence[Run], metric: str) -> float | None:
    """Returns the slope of log10 of the best alpha over log10 tau: 1 if alpha is proportional to
    tau, 0 if it does not depend on tau."""
    best = {tau: best_rate(rates)[0] for tau, rates in _by_tau(runs, "lr_pred", metric).items()}
    return slope(best) if len(best) >= FEWEST_POINTS else None


def best_rate_over_tau(runs: Sequence[Run], metric: str, tau: float) -> float | None:
    """Returns log10 of the best alpha divided by tau, at this tau."""
    rates = _by_tau(runs, "lr_pred", metric).get(_round(float(tau)))
    return None if rates is None else math.log10(best_rate(rates)[0] / float(tau))


def rank_correlation(runs: Sequence[Run], setting: str, metric: str) -> float | None:
    """Returns Spearman's correlation between a setting and the metric, averaged over taus."""
    found = [
        float(spearmanr(list(values), [min(v, 1e9) for v in values.values()]).statistic)
        for values in _by_tau(runs, setting, metric, fewest=FEWEST_POINTS).values()
    ]
    return float(np.mean(found)) if found else None


def over_best_fixed(
    runs: Sequence[Run], metrics: list[str], rule: str, c: float, scale: str
) -> float | None:
    """Returns log10 of the ratio of the metric under an automatic rule to the metric under the best
    fixed pair of rates, for the worst of the metrics.

    For each metric the best pair of this seed is chosen at each tau. Ratios are geometric means
    over taus.
    """
    auto = {_tau(run): run for run in runs if _is_rule(run, rule, float(c), scale)}
    fixed: dict[float, list[Run]] = {}
    for run in runs:
        if run.config["lr_enc_mode"] in ("same", "logspace") and _round(run.config["lr_enc"]) > 0:
            fixed.setdefault(_tau(run), []).append(run)
    taus = sorted(auto.keys() & fixed.keys())
    if len(taus) < FEWEST_POINTS:
        return None
    worst = 0.0
    for metric in metrics:
        mine = geometric(last(auto[tau], metric) for tau in taus)
        best = geometric(min(last(run, metric) for run in fixed[tau]) for tau in taus)
        worst = max(worst, mine / best)
    return math.log10(worst)


def edge_over_bound(runs: Sequence[Run]) -> float | None:
    """Returns log10 of the alpha at which runs begin to diverge over 2 / H, where H is the largest
    eigenvalue at the optimum.

    Raises UserError if some runs of one alpha diverge and others do not.
    """
    diverges: dict[float, bool] = {}
    for run in runs:
        lost = math.isinf(last(run, "val/excess_loss"))
        if diverges.setdefault(_round(run.config["lr_pred"]), lost) != lost:
            raise UserError(
                f"lr_pred={run.config['lr_pred']}: some of these runs diverge and others do not;"
                " name the setting in which they differ"
            )
    found = edge(diverges)
    if found is None:
        return None
    config = runs[0].config
    largest = float(config["spectrum_range"][1]) + float(config["sigma_n"]) ** 2
    return math.log10(found * largest / 2)


def last(run: Run, metric: str) -> float:
    """Returns the metric at the last step, infinite for a diverged run."""
    value = run.last().get(metric, math.nan)
    return math.inf if diverged(run, metric) or not math.isfinite(value) else value


def _by_tau(
    runs: Sequence[Run], key: str, metric: str, fewest: int = FEWEST_RATES
) -> dict[float, dict[float, float]]:
    """Returns {tau: {setting: metric}} for the taus that have at least `fewest` values of the
    setting. Raises UserError if runs also differ in another setting."""
    found: dict[float, dict[float, float]] = {}
    for run in runs:
        if not isinstance(run.config.get(key), int | float | str):
            raise UserError(f"setting={key}: not a number in these runs; give one such as lr_pred")
        if metric in run.last():
            cell = found.setdefault(_tau(run), {})
            if _round(run.config[key]) in cell:
                raise UserError(
                    f"two runs have tau={_tau(run):g} and {key}={run.config[key]}; name the setting"
                    " in which they differ"
                )
            cell[_round(run.config[key])] = last(run, metric)
    return {
        tau: dict(sorted(rates.items()))
        for tau, rates in sorted(found.items())
        if len(rates) >= fewest
    }


def _is_rule(run: Run, rule: str, c: float, scale: str) -> bool:
    config = run.config
    wanted: tuple[Any, ...] = ("auto", rule, scale, _round(c))
    found = (
        config["lr_enc_mode"],
        config["auto_rule"],
        config["step_scale"],
        _round(config["auto_alpha_c"] or 0.0),
    )
    return found == wanted


def _tau(run: Run) -> float:
    return _round(run.config["tau"])


def _round(value: Any) -> float:
    """Rounds to eight significant digits. Also reads text, because YAML reads 1e-05 as text."""
    return float(f"{float(value):.8g}")


STATISTICS = {
    "slope_of_best_rate": Statistic(
        slope_of_best_rate, "slope of log best α over log τ by {metric}", GRID
    ),
    "best_rate_over_tau": Statistic(
        best_rate_over_tau, "best α / τ at τ = {tau} by {metric}", GRID, logarithm=True
    ),
    "rank_correlation": Statistic(
        rank_correlation, "rank correlation of {setting} with {metric}", GRID
    ),
    "over_best_fixed": Statistic(
        over_best_fixed,
        "worst of {metrics} over that of the best fixed rates, {rule}, c = {c}",
        MODES,
        logarithm=True,
    ),
    "edge_over_bound": Statistic(
        edge_over_bound, "α at which runs diverge over 2 / H", GRID, logarithm=True
    ),
}
