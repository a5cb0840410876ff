"""The verdict on the labelled runs, with the probability of a failure fitted on other groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jepa_lab.diagnosis import Thresholds, Verdict
from jepa_lab.diagnosis.decision import UNSURE
from jepa_lab.diagnosis.odds import Odds, odds_tap, quantities_of
from jepa_lab.diagnosis.taps import last_of
from jepa_lab.report.collapse_bench.rules import FAILED, FINE, Rule, taps_of, verdict_of
from jepa_lab.report.collapse_bench.rules import UNSURE as NO_ANSWER
from jepa_lab.report.collapse_bench.runs import BenchRun
from jepa_lab.report.collapse_bench.scores import folds

RULES_ALONE = Odds()
PENALTY = 1.0  # inverse strength of the L2 penalty on the standardised weights
Verdicts = Mapping[str, Verdict]
Quantities = Mapping[str, tuple[float, float, float]]


def by_rules(runs: Sequence[BenchRun]) -> dict[str, Verdict]:
    """Returns the verdict of the rules alone on every run."""
    return {run.name: verdict_of(run, RULES_ALONE) for run in runs}


def quantities_by_run(runs: Sequence[BenchRun]) -> Quantities:
    """Returns {run: quantities} of the runs that have them."""
    found = {}
    for run in runs:
        tap = odds_tap(run.history, taps_of(run))
        values = None if tap is None else quantities_of(last_of(run.history, f"val/{tap}/"))
        if values is not None:
            found[run.name] = values
    return found


def left_open(quantities: Quantities, ruled: Verdicts) -> Quantities:
    """Returns the quantities of the runs on which the rules leave the decision to the
    probability."""
    return {name: q for name, q in quantities.items() if ruled[name].status in UNSURE}


def fit_odds(runs: Sequence[BenchRun], quantities: Quantities) -> Odds:
    """Returns the weights of a logistic regression on the labelled runs that have quantities, none
    unless both labels occur. The penalty acts on standardised quantities."""
    from sklearn.linear_model import LogisticRegression  # start-up

    known = [run for run in runs if run.name in quantities and run.label != "undecided"]
    if len({run.label for run in known}) < 2:
        return RULES_ALONE
    x = np.array([quantities[run.name] for run in known])
    failed = np.array([run.label == FAILED for run in known])
    mean, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    model = LogisticRegression(C=PENALTY).fit((x - mean) / spread, failed)
    weights = model.coef_[0] / spread
    return Odds(float(model.intercept_[0] - weights @ mean), tuple(map(float, weights)))


def odds_rule(quantities: Quantities) -> Rule:
    """Returns the rule of the probability alone: failed from one half on, unsure without one."""

    def fit(fitted: Sequence[BenchRun]) -> Callable[[BenchRun], str]:
        odds = fit_odds(fitted, quantities)

        def answer(run: BenchRun) -> str:
            if run.name not in quantities or not odds.weights:
                return NO_ANSWER
            return FAILED if odds.probability(quantities[run.name]) >= 0.5 else FINE

        return answer

    return Rule("odds alone", fit)


def verdicts_out_of_group(
    runs: Sequence[BenchRun],
    group: str,
    ruled: Verdicts,
    quantities: Quantities,
    thresholds: Thresholds | None = None,
) -> dict[str, Verdict]:
    """Returns the verdict on every run with weights fitted on the other values of the group.
    `thresholds` are those of `judge`."""
    found = dict(ruled)
    for fold in folds(runs, group):
        odds = fit_odds(fold.fitted, quantities)
        found |= {
            r.name: verdict_of(r, odds, thresholds) for r in fold.held if r.name in quantities
        }
    return found
