"""Codebook collapse: the share of used codes, their evenness, and whether unused codes return."""

from __future__ import annotations

import math

from jepa_lab.diagnosis.falls import fall_of
from jepa_lab.diagnosis.finding import Finding, History, Points, finite, last_stretch
from jepa_lab.diagnosis.taps import last_of
from jepa_lab.diagnosis.thresholds import Thresholds, distance


def codebook_finding(history: History, thresholds: Thresholds) -> Finding | None:
    """Returns the status of the codebook from val/codebook/usage and val/codebook/perplexity.
    Without validation of the codebook it reads train/codebook. It returns None without these
    metrics. A low usage that is not a collapse is a note."""
    t = thresholds.of("codebook")
    usage, name = codebook_series(history, "usage")
    perplexity, other = codebook_series(history, "perplexity")
    if perplexity and perplexity[-1][1] < t.perplexity:
        since = last_stretch(perplexity, lambda v: v < t.perplexity)
        return one_code(perplexity[-1][1], t.perplexity, since, other, t)
    if not usage:
        return None
    last = usage[-1][1]
    if last < t.usage:
        text = f"{100 * last:.1f} % of the codes in use"
        since = last_stretch(usage, lambda v: v < t.usage)
        return collapsed(text, since, t.confidence(distance(last, t.usage)), name)
    drops = _drops(usage)
    if drops >= t.drops and last < t.slow_death * usage[0][1] and last < 2 * t.usage_note:
        text = (
            f"usage fell {drops} times in a row, to {100 * last:.0f} % from {100 * usage[0][1]:.0f}"
            " %: a slow death"
        )
        since = usage[-drops][0]
        return collapsed(
            text, since, t.confidence(distance(last, t.slow_death * usage[0][1])), name
        )
    age = last_of(history, "val/codebook/").get("dead_code_age", 0.0)
    if last < t.usage_note:
        old = (
            f", the others unused for {age:.0f} steps on average"
            if age > t.age * usage[-1][0]
            else ""
        )
        fallen = _fallen(usage, name, "codebook usage", t)
        text = f"{100 * last:.0f} % of the codes in use{old}"
        text += f"; {fallen.reason}" if fallen is not None else ""
        return Finding("note", text, 0.5, "codebook", quantity=name)
    return _fallen(usage, name, "codebook usage", t) or _fallen(
        perplexity, other, "codebook perplexity", t
    )


def _fallen(points: Points, key: str, name: str, t: Thresholds) -> Finding | None:
    """Returns a note on a lasting fall below half of the best value, or None. A codebook that gave
    up half of its codes may have kept enough of them."""
    fall = fall_of(points, lambda best: t.rank_fall * best)
    if fall is None or not fall.lasting:
        return None

    def show(value: float) -> str:
        return f"{100 * value:.0f} %" if name.endswith("usage") else f"{value:.1f}"

    return Finding("note", fall.text(name, show), 0.5, "codebook", fall.step, key)


def one_code(
    perplexity: float, limit: float, since: int | None, quantity: str, t: Thresholds
) -> Finding:
    """Returns the collapse of a codebook whose perplexity is below `limit`."""
    text = f"perplexity {perplexity:.2f}: nearly all tokens use one code"
    far = t.confidence(distance(perplexity - 1, limit - 1, 0.01))
    return collapsed(text, since, far, quantity)


def collapsed(text: str, since: int | None, confidence: float, quantity: str) -> Finding:
    """Returns the collapse of a codebook with its remedy."""
    return Finding(
        "codebook_collapse", text, confidence, "codebook", since, quantity, ("optim.lr*0.3",)
    )


def codebook_series(history: History, name: str) -> tuple[Points, str]:
    """Returns the finite values of val/codebook/<name> and their key. Without validation of the
    codebook it reads train/codebook/<name>."""
    for where in ("val", "train"):
        key = f"{where}/codebook/{name}"
        if history.get(key):
            return finite(history[key]), key
    return (), ""


def _drops(points: Points) -> int:
    """Returns the number of consecutive falls at the end."""
    count, after = 0, -math.inf
    for _, value in reversed(points):
        if value <= after:
            break
        count, after = count + 1, value
    return max(count - 1, 0)
