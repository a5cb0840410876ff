"""The quantities of a run with their healthy ranges, and the order in which the rules were
violated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from jepa_lab.diagnosis.finding import Finding, History
from jepa_lab.diagnosis.rules import Examination
from jepa_lab.diagnosis.settings import Settings
from jepa_lab.diagnosis.taps import JUDGED, last_of, least_rank
from jepa_lab.diagnosis.thresholds import Thresholds

WORDS = {
    "effective_rank": "the rank",
    "spectral_cliff_r": "the spectrum",
    "feature_std_l2": "the spread",
    "lidar": "LiDAR",
    "usage": "codebook usage",
    "perplexity": "codebook perplexity",
    "skill": "the skill",
    "action_gain": "the gain from actions",
    "action_use": "the use of actions",
    "demo_gain": "the gain from demonstrations",
    "copy_gain": "the gain over a copy",
    "mutual_information": "the mutual information",
    "mean_entropy": "the targets' entropy",
}


@dataclass(frozen=True)
class Quantity:
    """A measured value with its healthy range. `start` is the value at initialisation, if known.
    `inside` is None if there is no range. `limit` is the lowest healthy value of the metric `key`,
    None for a range of something else than the metric itself."""

    name: str
    value: float
    start: float | None
    range: str
    inside: bool | None
    key: str = ""
    limit: float | None = None


def quantities(
    history: History, t: Thresholds, settings: Settings | None = None, taps: Sequence[str] = JUDGED
) -> list[Quantity]:
    """Returns the last values of every tap, the prediction, the probes and the codebook. There is
    no healthy range for the prediction if the run does not train it by its `settings`, nor for the
    gain from actions if the network does not get the actions."""
    settings = settings or Settings()
    rows = []
    for tap in taps:
        limits, now = t.of(tap), last_of(history, f"val/{tap}/")
        if "effective_rank" not in now:
            continue
        start = last_of(history, f"reference/{tap}/")
        possible = min(now.get("n", math.inf) - 1, now.get("d", math.inf))
        floor = least_rank(history, tap, possible, limits)
        of = f" of {possible:.0f}" if math.isfinite(possible) else ""
        of_tap = [("effective rank", "effective_rank", floor, f"{floor:.2g} or more{of}")]
        of_tap += [("spread", "feature_std_l2", limits.spread, f"{limits.spread:g} or more")]
        if "lidar" in limits.values:
            of_tap += [("LiDAR", "lidar", limits.lidar, f"{limits.lidar:g} or more")]
        for name, metric, limit, text in of_tap:
            rows += _row(f"{tap} {name}", now, start, metric, limit, text, f"val/{tap}/")
    last = last_of(history, "val/")
    start = last_of(history, "reference/")
    judged = settings.judges_prediction
    of_prediction = _row(
        "skill", last, start, "skill", t.no_skill, f"{t.no_skill:g} or more; 1 is perfect"
    )
    rows += of_prediction if judged else map(_unjudged, of_prediction)
    loss = last.get("loss/prediction", 0.0)
    if loss > 0:
        for name, limit in (
            ("action_gain", t.action_gain),
            ("demo_gain", t.action_gain),
            ("copy_gain", t.copy_gain),
        ):
            words = f"above {100 * limit:g} %"
            shares = {name: last[name] / loss} if name in last else {}
            title = f"{name.replace('_', ' ')}, share of the loss"
            row = _row(title, shares, {}, name, limit, words, prefix=None)
            by_design = not judged or (name == "action_gain" and not settings.actions)
            rows += map(_unjudged, row) if by_design else row
    use = _row(
        "use of actions, achieved / possible",
        last,
        {},
        "action_use",
        t.learned_use,
        f"{t.learned_use:g} or more; 1 is all",
    )
    rows += use if judged and settings.actions else map(_unjudged, use)
    first = {
        "top1": last.get("retrieval/top1", math.nan),
        "copy": last.get("retrieval/copy_top1", math.nan),
    }
    if math.isfinite(first["top1"]):
        rows += _row(
            "true output first among 101",
            first,
            {},
            "top1",
            first["copy"],
            "above that of a copy",
            prefix=None,
        )
    rows += [
        Quantity(k.removeprefix("probe/"), v, None, "", None)
        for k, v in sorted(last.items())
        if "probe/" in k
    ]
    book = t.of("codebook")
    used = f"{book.usage_note:g} or more, collapsed below {book.usage:g}"
    rows += _row("codebook usage", last, {}, "codebook/usage", book.usage_note, used)
    rows += _row(
        "codebook perplexity",
        last,
        {},
        "codebook/perplexity",
        book.perplexity,
        f"{book.perplexity:g} or more",
    )
    return rows


def _row(
    name: str,
    now: dict[str, float],
    start: dict[str, float],
    key: str,
    floor: float,
    text: str,
    prefix: str | None = "val/",
) -> list[Quantity]:
    """Returns the row of a value, [] if it was not measured. `prefix` precedes the key in the
    ledger, None for a value that is computed from several metrics."""
    if key not in now:
        return []
    metric, limit = ("", None) if prefix is None else (prefix + key, floor)
    return [Quantity(name, now[key], start.get(key), text, now[key] >= floor, metric, limit)]


def _unjudged(row: Quantity) -> Quantity:
    return replace(row, range="not judged: by design", inside=None, limit=None)


def timeline(examination: Examination) -> list[Finding]:
    """Returns the failures with a known step, ordered by the step of their first violation."""
    dated = [f for f in examination.failures if f.began is not None]
    return sorted(dated, key=lambda f: f.began or 0)


def order_sentence(events: list[Finding]) -> str:
    """Returns a text such as 'codebook usage before the rank of z, the rank of z before the loss',
    or '' for fewer than two events."""
    names: list[str] = []
    steps: list[int] = []
    for event in events:
        name = words(event)
        if name not in names:
            names.append(name)
            steps.append(event.began or 0)
    pairs = [
        f"{a} {'before' if i < j else 'together with'} {b}"
        for a, b, i, j in zip(names, names[1:], steps, steps[1:], strict=False)
    ]
    return ", ".join(pairs)


def words(event: Finding) -> str:
    """Returns the name of the quantity behind a finding, for a sentence."""
    last = event.quantity.rsplit("/", 1)[-1]
    if event.quantity.startswith("train/loss"):
        return "the loss"
    name = WORDS.get(last, last.replace("_", " ") or event.status)
    return f"{name} of {event.tap}" if event.tap and event.tap != "codebook" else name
