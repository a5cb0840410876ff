"""The rules that the benchmark scores beside the verdict: single metrics with a fitted threshold,
the published rules, and functions of a user."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from jepa_lab.config.extensions import pass_on_signals
from jepa_lab.config.statuses import NO_FAILURE, PASSES, STATUSES
from jepa_lab.diagnosis import Thresholds, Verdict, judge
from jepa_lab.diagnosis.odds import Odds
from jepa_lab.diagnosis.published import published_of_run
from jepa_lab.errors import UserError, nearest
from jepa_lab.report.collapse_bench.runs import BenchRun, History

FAILED, FINE, UNSURE = "failed", "fine", "unsure"
# what a user's rule may return beside the statuses of a verdict
PLAIN = {"failed": FAILED, "collapsed": FAILED, "good": FINE, "fine": FINE, "unsure": UNSURE}
# metrics of the encoder's tap at the last validation, and the side on which a run has failed
METRICS = {
    "rankme": "below",
    "effective_rank": "below",
    "participation_ratio": "below",
    "stable_rank": "below",
    "spectral_cliff_r": "below",
    "eigenvalue_ratio": "below",
    "lidar": "below",
    "alpha_req": "above",
    "feature_std": "below",
    "feature_std_l2": "below",
    "mean_pairwise_cosine": "above",
    "uniformity": "above",
    "within_share": "above",
}
Fit = Callable[[Sequence[BenchRun]], Callable[[BenchRun], str]]


@dataclass(frozen=True)
class Rule:
    """A rule by name. `fit` maps the runs of the fitted groups to a function from a run to failed,
    fine or unsure. A rule without anything to fit ignores them."""

    name: str
    fit: Fit


def verdict_of(
    run: BenchRun, odds: Odds | None = None, thresholds: Thresholds | None = None
) -> Verdict:
    """Returns the verdict on a run from its history, on all of its taps but predictions. `odds` and
    `thresholds` are those of `judge`."""
    return judge(run.history, thresholds, taps=taps_of(run), odds=odds)


def taps_of(run: BenchRun) -> list[str]:
    """Returns the judged taps of a run."""
    taps = [
        key.split("/")[1]
        for key in run.history
        if key.startswith("val/") and key.endswith("/effective_rank")
    ]
    return [tap for tap in taps if tap != "z_hat"]


def answer_of(status: str) -> str:
    """Returns failed, fine or unsure for the status of a verdict."""
    if status not in NO_FAILURE:
        return FAILED
    return FINE if status in PASSES else UNSURE


def published_rule() -> Rule:
    """Returns the older published thresholds as a rule."""

    def answer(run: BenchRun) -> str:
        status = published_of_run(run.history).status
        return {"collapsed": FAILED, "unknown": UNSURE}.get(status, FINE)

    return Rule("published", lambda fitted: answer)


def metric_rule(metric: str, relative: bool = False) -> Rule:
    """Returns the rule of a single metric of z with the threshold that errs least on the fitted
    runs. With `relative` the metric is divided by its value at initialisation."""
    side = 1.0 if METRICS[metric] == "below" else -1.0

    def value(run: BenchRun) -> float | None:
        now, start = run.last(f"val/z/{metric}"), run.last(f"reference/z/{metric}")
        if not relative or now is None:
            return now
        return None if not start else now / start

    def fit(fitted: Sequence[BenchRun]) -> Callable[[BenchRun], str]:
        known = [(run.label == FAILED, v) for run in fitted if (v := value(run)) is not None]
        limit = threshold(
            [side * v for bad, v in known if bad], [side * v for bad, v in known if not bad]
        )

        def answer(run: BenchRun) -> str:
            found = value(run)
            if found is None:
                finite = run.last("val/z/effective_rank")
                return FAILED if finite is not None and math.isnan(finite) else UNSURE
            return FINE if side * found >= limit else FAILED

        return answer

    return Rule(f"{metric} / start" if relative else metric, fit)


def threshold(failed: Sequence[float], good: Sequence[float]) -> float:
    """Returns the limit below which a value counts as failed, with the least sum of the rates of
    misses and false alarms. NaN always counts as failed. It lies between two values; without failed
    or good runs it is -inf."""
    bad, fine = (np.sort([v for v in group if not math.isnan(v)]) for group in (failed, good))
    if not len(bad) or not len(fine):
        return -math.inf
    values = np.unique(np.concatenate([bad, fine]))
    limits = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    missed = 1 - np.searchsorted(bad, limits) / len(bad)
    alarms = np.searchsorted(fine, limits) / len(fine)
    return float(limits[np.argmin(missed + alarms)])


def user_rule(place: str) -> Rule:
    """Returns the rule of a user's function `module:function`, which maps a history {metric:
    [(step, value)]} to a status of STATUSES, or failed, good or unsure.

    Modules are searched in the working directory and among the installed ones.
    Raises UserError if there is no such function, and later if it raises or returns something else.
    """
    function = _found(place)

    def answer(run: BenchRun) -> str:
        copied: History = {key: list(points) for key, points in run.history.items()}
        try:
            status = function(copied)
        except (Exception, SystemExit) as error:
            pass_on_signals(error)
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise UserError(f"--rule {place}: raised {reason} on run {run.name}") from error
        if isinstance(status, str) and status in PLAIN:
            return PLAIN[status]
        if isinstance(status, str) and status in STATUSES:
            return answer_of(status)
        names = (*PLAIN, *STATUSES)
        raise UserError(
            f"--rule {place}: returned {status!r} on run {run.name}; expected a status"
            f"{nearest(str(status), names) or ' of a verdict, or failed, good or unsure'}"
        )

    return Rule(place, lambda fitted: answer)


def _found(place: str) -> Callable[[History], object]:
    module, _, name = place.partition(":")
    if not module or not name:
        raise UserError(f"--rule {place}: expected module:function, as in my_rules:judge")
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        found = import_module(module)
    except (Exception, SystemExit) as error:  # the module is the user's: it can fail in any way
        pass_on_signals(error)
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UserError(f"--rule {place}: cannot import {module} ({reason})") from None
    finally:
        sys.path.remove(folder)
    function = getattr(found, name, None)
    if not callable(function):
        known = [n for n, v in vars(found).items() if callable(v) and not n.startswith("_")]
        raise UserError(f"--rule {place}: {module} has no function {name!r}{nearest(name, known)}")
    return function


def built_in() -> list[Rule]:
    """Returns the published rules and every single metric."""
    relative = [metric_rule(m, relative=True) for m in ("rankme", "effective_rank")]
    return [published_rule(), *map(metric_rule, METRICS), *relative]
