"""The probability that a run has failed, from its features of several views of each image.

It is a logistic regression on three quantities of the last validation:

- `common`, the correlation of the views of an image (`metrics.view_correlation`), from 0 to 1. Low:
  an image is not told apart from others.
- `equal`, -log10(1 - correlation), at most 3. High: the views are nearly the same, and their
  agreement teaches nothing.
- `rank`, log2 of the effective rank, at most 4. More than 16 directions say nothing further about
  small data.

Its weights are in odds.yaml. They are fitted on labelled runs, most of other people's methods
(docs/collapse_bench.md). A run that logs no views has no such probability.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from jepa_lab.diagnosis.finding import History, last_stretch
from jepa_lab.diagnosis.taps import last_of, validations_of
from jepa_lab.diagnosis.thresholds import ROLES, Thresholds

QUANTITIES = ("common", "equal", "rank")
MOST_EQUAL, MOST_RANK = 3.0, 16.0
FILE = "odds.yaml"


@dataclass(frozen=True)
class Odds:
    """The weights: P(failed) = 1 / (1 + exp(-(intercept + sum of weight * quantity))). Without
    weights there is no probability, and the rules decide alone."""

    intercept: float = 0.0
    weights: tuple[float, ...] = ()

    @classmethod
    def shipped(cls) -> Odds:
        """Reads the weights that ship with the package."""
        return _shipped()

    def probability(self, quantities: Sequence[float]) -> float:
        """Returns the probability for one value of each of QUANTITIES."""
        exponent = self.intercept + sum(
            w * q for w, q in zip(self.weights, quantities, strict=True)
        )
        return 1.0 / (1.0 + math.exp(-exponent))


@cache
def _shipped() -> Odds:
    text = files("jepa_lab.diagnosis").joinpath(FILE).read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    weights = content["weights"]
    return Odds(float(content["intercept"]), tuple(float(weights[name]) for name in QUANTITIES))


@dataclass(frozen=True)
class Weighed:
    """The probability that a run has failed, by the features of `tap`. `since` is the first step
    from which it stays on its side of one half until the end. `text` names the evidence."""

    probability: float
    tap: str
    since: int | None
    text: str


def weighed(history: History, taps: Sequence[str], odds: Odds, t: Thresholds) -> Weighed | None:
    """Returns the probability by the last validation of a tap, or None without views.

    The tap is z where it logs views, or else the first of `taps` that does. Targets are left out.
    Views that have nothing in common now and had nothing in common at the start may be parts of
    different content, as tokens are. They have no probability.
    """
    tap = odds_tap(history, taps)
    if tap is None or not odds.weights:
        return None
    now = last_of(history, f"val/{tap}/")
    found = quantities_of(now)
    start = last_of(history, f"reference/{tap}/").get("view_correlation", 0.0)
    if found is None or (found[0] < t.unrelated and start < 2 * t.unrelated):
        return None
    p = odds.probability(found)
    sides = []
    for step, row in validations_of(history, f"val/{tap}/"):
        then = quantities_of(row)
        sides.append((step, then is not None and (odds.probability(then) >= 0.5) == (p >= 0.5)))
    text = (
        f"views of an image correlate {now['view_correlation']:.2f}, effective rank"
        f" {now['effective_rank']:.1f}"
    )
    return Weighed(p, tap, last_stretch(sides, bool), text)


def odds_tap(history: History, taps: Sequence[str]) -> str | None:
    """Returns the tap whose features are weighed, or None if none logs views."""
    found = [
        tap
        for tap in taps
        if ROLES.get(tap) != "target" and history.get(f"val/{tap}/view_correlation")
    ]
    return "z" if "z" in found else next(iter(found), None)


def quantities_of(now: Mapping[str, float]) -> tuple[float, float, float] | None:
    """Returns QUANTITIES of a validation of a tap, or None where they are unknown or not finite."""
    common, rank = (now.get(k, math.nan) for k in ("view_correlation", "effective_rank"))
    if not (math.isfinite(common) and math.isfinite(rank)):
        return None
    common = min(max(common, 0.0), 1.0)
    equal = min(-math.log10(max(1.0 - common, 10.0**-MOST_EQUAL)), MOST_EQUAL)
    return common, equal, math.log2(min(max(rank, 1.0), MOST_RANK))
