"""The rules: from a paired difference to a word.

Signs are turned so that the claim is always "above": for direction below, treatment and control
change sign. d is the difference (arm less control; value less reference), m the margin.

difference       d > m.   confirmed: the 95 % t interval of d lies above m; refuted: it lies below
m, so that an effect
                 as claimed is excluded. Both need the sign-flip test of d - m at .05, or at the
                 least that it can give with so few seeds (2 / 2^n), so that neither word hangs on
                 normality alone.
non_inferiority  d > -m.  confirmed: the 90 % interval lies above -m; refuted: it lies below -m
(one-sided, 5 % each).
equivalence      |d| < m. confirmed: the 90 % interval lies between -m and m (two one-sided tests);
refuted: outside.
not shown        otherwise; an end on its bound is otherwise.

Then p, that of the t test behind the word, is adjusted by Holm over the claims of the family that
can be tested (1 where runs are missing, so that no word depends on which others were run): above
.05 the word is "not shown" too. The sign-flip p is not what is adjusted: with 8 seeds it is .008 at
least, and seven claims in a family would leave nothing that could ever be shown. Below FEWEST pairs
nothing is judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import t

from jepa_lab.report.comparison.statistics import (
    TIES,
    PairedDifference,
    non_inferior,
    paired_difference,
)

WORDS = ("confirmed", "refuted", "not shown", "not testable")
LEVEL = 0.05
FEWEST = 3  # pairs: two that agree by chance would do


@dataclass(frozen=True)
class Judged:
    """`word` before Holm, `p` of the test behind it; `difference` with its interval at the
    confidence of the rule, as it was measured (arm less control), for whatever direction."""

    word: str
    p: float
    difference: PairedDifference


def judge(
    treatment: Mapping[int, float],
    control: Mapping[int, float],
    test: str,
    direction: str,
    margin: float,
) -> Judged | None:
    """The rules above on {seed: value} of both sides; None with fewer than FEWEST pairs that are
    finite."""
    treatment, control = _without_rounding(treatment, control)
    shown = paired_difference(treatment, control, 0.95 if test == "difference" else 0.9)
    if shown is None or shown.n < FEWEST:
        return None
    sign = 1.0 if direction == "above" or test == "equivalence" else -1.0
    arm, other = (
        {seed: sign * value for seed, value in side.items()} for side in (treatment, control)
    )
    if test == "difference":
        word, p = _difference(arm, {seed: value + margin for seed, value in other.items()})
    elif test == "non_inferiority":
        word, p = _non_inferiority(_paired(arm, other), margin)
    else:
        word, p = _equivalence(_paired(arm, other), _paired(other, arm), margin)
    return Judged(word, p, shown)


def _without_rounding(
    treatment: Mapping[int, float], control: Mapping[int, float]
) -> tuple[Mapping[int, float], Mapping[int, float]]:
    """Both sides as they are; where only rounding parts the differences, their mean and 0: a spread
    of 1e-17 would otherwise pass for certainty."""
    seeds = [
        s
        for s in treatment.keys() & control.keys()
        if math.isfinite(treatment[s]) and math.isfinite(control[s])
    ]
    differences = [treatment[seed] - control[seed] for seed in seeds]
    largest = max((abs(side[seed]) for side in (treatment, control) for seed in seeds), default=0.0)
    if not seeds or max(differences) - min(differences) > TIES * largest:
        return treatment, control
    return dict.fromkeys(seeds, math.fsum(differences) / len(seeds)), dict.fromkeys(seeds, 0.0)


def after_holm(word: str, adjusted: float) -> str:
    """The word that stays when the p behind it is adjusted for the number of claims."""
    return word if adjusted <= LEVEL else "not shown"


def _difference(arm: Mapping[int, float], moved: Mapping[int, float]) -> tuple[str, float]:
    d = _paired(arm, moved)
    p = min(1.0, 2 * min(_p_above(d, 0.0), _p_below(d, 0.0)))
    if d.p > max(LEVEL, d.p_floor):
        return "not shown", max(p, d.p)
    return ("confirmed" if d.low > 0 else "refuted" if d.high < 0 else "not shown"), p


def _non_inferiority(d: PairedDifference, margin: float) -> tuple[str, float]:
    word = {"non-inferior": "confirmed", "inferior": "refuted"}.get(
        non_inferior(d, margin), "not shown"
    )
    return word, min(_p_above(d, -margin), _p_below(d, -margin))


def _equivalence(d: PairedDifference, turned: PairedDifference, margin: float) -> tuple[str, float]:
    sides = non_inferior(d, margin), non_inferior(turned, margin)
    word = (
        "refuted"
        if "inferior" in sides
        else "confirmed"
        if set(sides) == {"non-inferior"}
        else "not shown"
    )
    if abs(d.mean) <= margin:
        return word, max(_p_above(d, -margin), _p_below(d, margin))
    return word, min(_p_below(d, -margin), _p_above(d, margin))


def _p_above(d: PairedDifference, bound: float) -> float:
    """One-sided p of the paired t test for a true difference above `bound`. Without spread that of
    the sign-flip test: seeds that agree to the last digit are few seeds, and no certainty."""
    if d.sd == 0:
        return 0.5 if d.mean == bound else d.p_floor / 2 if d.mean > bound else 1 - d.p_floor / 2

    return float(t.sf((d.mean - bound) / (d.sd / math.sqrt(d.n)), d.n - 1))


def _p_below(d: PairedDifference, bound: float) -> float:
    return 1 - _p_above(d, bound)


def _paired(treatment: Mapping[int, float], control: Mapping[int, float]) -> PairedDifference:
    found = paired_difference(treatment, control)
    assert found is not None  # judge() has asked for FEWEST finite pairs
    return found
