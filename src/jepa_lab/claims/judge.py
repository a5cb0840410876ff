"""The rules that turn a paired difference into a word: confirmed, refuted or not shown.

d is the difference (arm - control, or value - reference) and m the margin. For direction below,
both sides change sign, so that every claim is "above".

difference       claims d > m. It is confirmed if the 95 % t interval of d lies above m, and refuted
                 if the interval lies below m, which excludes the claimed effect. Both words also
                 need p <= .05 in the sign-flip test of d - m, or the smallest p that the number of
                 seeds allows (2 / 2^n). So neither word depends on normality alone.
non_inferiority  claims d > -m. It is confirmed if the 90 % interval lies above -m, and refuted if
                 it lies below -m (one-sided tests, 5 % each).
equivalence      claims |d| < m. It is confirmed if the 90 % interval lies between -m and m (two
                 one-sided tests), and refuted if it lies outside.

All other cases are "not shown", also an interval that ends on a bound. Fewer than FEWEST pairs are
not judged.

The p of the t test behind the word is then adjusted by Holm over the testable claims of the family.
Claims with missing runs have p = 1, so that no word depends on which other claims were run. If the
adjusted p is above .05, the word is "not shown" too. The sign-flip p is not adjusted: with 8 seeds
it is at least .008, so that a family of seven claims could never show anything.
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
FEWEST = 3  # pairs: two pairs may agree by chance


@dataclass(frozen=True)
class Judged:
    """The result of a rule: the `word` before Holm, and the `p` of the test behind it.

    `difference` is arm - control for both directions, with the interval at the confidence of the
    rule."""

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
    """Applies the rules above to {seed: value} of both sides. Returns None for fewer than FEWEST
    finite pairs."""
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
    """Returns both sides unchanged, or (mean difference, 0) for every seed if the differences vary
    only by rounding. A spread of 1e-17 would otherwise look like certainty."""
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
    """Returns the word, or "not shown" if its adjusted p is above LEVEL."""
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
    """Returns the one-sided p of the paired t test for a true difference above `bound`.

    Without spread it is the p of the sign-flip test, since equal seeds are few seeds and not
    certainty."""
    if d.sd == 0:
        return 0.5 if d.mean == bound else d.p_floor / 2 if d.mean > bound else 1 - d.p_floor / 2

    return float(t.sf((d.mean - bound) / (d.sd / math.sqrt(d.n)), d.n - 1))


def _p_below(d: PairedDifference, bound: float) -> float:
    return 1 - _p_above(d, bound)


def _paired(treatment: Mapping[int, float], control: Mapping[int, float]) -> PairedDifference:
    found = paired_difference(treatment, control)
    assert found is not None  # judge() requires FEWEST finite pairs
    return found
