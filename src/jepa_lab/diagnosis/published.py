"""The older published thresholds as a separate rule set, to be shown beside those of this package.
They contradict each other (see docs/diagnosis.md). This is the first published version; its middle
band is called "warning" here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jepa_lab.diagnosis.finding import History

# {quantity: (collapsed below, healthy above)}; the loss is judged by its spikes
LIMITS = {"effective_rank": (2.0, 5.0), "eigenvalue_ratio": (1e-4, 1e-3), "usage": (0.05, 0.15)}
SPIKE = 1.5
BANDS = ("collapsed", "warning", "healthy")  # the worst first
WARM_UP = 3  # number of validations before spikes count


@dataclass(frozen=True)
class Published:
    """A published verdict. `status` is healthy, warning, collapsed or unknown. `reasons` has one
    sentence for each available quantity."""

    status: str
    reasons: tuple[str, ...]

    def line(self) -> str:
        return self.status + (f": {'; '.join(self.reasons)}" if self.reasons else "")


def published_rules(values: Mapping[str, float]) -> Published:
    """Returns the published verdict on one tap from its effective_rank, eigenvalue_ratio and usage.
    The publication calls eigenvalue_ratio isotropy."""
    found = []
    for name, (low, high) in LIMITS.items():
        value = values.get(name, math.nan)
        if math.isnan(value):
            continue
        band = "collapsed" if value < low else "healthy" if value > high else "warning"
        found.append((band, f"{name} {value:.3g} {band} (below {low:g}, above {high:g})"))
    for band in BANDS:
        if any(b == band for b, _ in found):
            return Published(band, tuple(text for _, text in found))
    return Published("unknown", ())


def published_of_run(history: History, taps: Sequence[str] = ("z", "z_agg")) -> Published:
    """Returns the worst published verdict over the taps and the codebook at the last validation.
    Spikes of the validation loss count as a warning."""
    results = []
    for tap in dict.fromkeys((*taps, "codebook")):
        values = {
            n: history[f"val/{tap}/{n}"][-1][1] for n in LIMITS if history.get(f"val/{tap}/{n}")
        }
        results.append(of_tap(tap, values))
    best, spikes = math.inf, 0
    for i, (_, value) in enumerate(history.get("val/loss/prediction", ())):
        spikes += i >= WARM_UP and value > SPIKE * best
        best = min(best, value)
    if spikes:
        text = f"{spikes} validation losses over {SPIKE} times the best so far"
        results.append(Published("warning", (text,)))
    return worst_published(results)


def of_tap(tap: str, values: Mapping[str, float]) -> Published:
    """Returns `published_rules`, with the name of the tap in its reasons."""
    found = published_rules(values)
    return Published(found.status, tuple(f"{tap} {text}" for text in found.reasons))


def worst_published(results: Sequence[Published]) -> Published:
    """Returns the worst of published verdicts, with the reasons of all."""
    reasons = tuple(text for found in results for text in found.reasons)
    for band in BANDS:
        if any(found.status == band for found in results):
            return Published(band, reasons)
    return Published("unknown", reasons)
