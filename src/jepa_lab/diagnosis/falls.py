"""Falls of a quantity below its own best in this run, which is a reference where no other is
known. The step of the fall is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from jepa_lab.diagnosis.finding import (
    Finding,
    History,
    Points,
    at_least_0,
    finite,
    last_stretch,
    last_third,
)
from jepa_lab.diagnosis.stability import CALMER
from jepa_lab.diagnosis.thresholds import Thresholds, distance

LASTING = 2  # validations that a best value and a fall must last; one alone may be noise
AT_ONCE = 0.5  # share of a fall between two validations from which it is sudden


@dataclass(frozen=True)
class Fall:
    """A fall that holds to the end: the best value with its step, the last value, and the first
    step of the stretch below the limit. `before` is the step of the validation before that.
    `lasting` is false if only the last validation is below the limit. `limit` is that of a fall,
    and `share` is the limit as a share of the best value that lasted."""

    best: float
    best_step: int
    last: float
    step: int
    before: int
    sudden: bool
    lasting: bool
    limit: float
    share: float

    def text(self, name: str, show: Callable[[float], str]) -> str:
        """Returns, as an example, `effective rank fell from 62.1 to 18.0, at once at step 500`. A
        slow fall names its limit: it is no limit of a healthy value."""
        if self.sudden:
            how = f", at once at step {self.step}"
            return f"{name} fell from {show(self.best)} to {show(self.last)}{how}"
        best = f"{show(self.best)} at step {self.best_step}"
        below = f"below {show(self.limit)} ({100 * self.share:.0f} % of its best)"
        return f"{name} fell from {best} to {show(self.last)}, {below} since step {self.step}"


def fall_of(points: Points, limit: Callable[[float], float]) -> Fall | None:
    """Returns the fall of the last values below limit(best), or None.

    The best value counts if it lasted two validations: it is the largest minimum of two neighbours.
    Points that are not finite are left out.
    """
    known = finite(points)
    if len(known) < LASTING + 1:
        return None
    pairs = [min(a[1], b[1]) for a, b in pairwise(known)]
    lasted = max(pairs)
    floor = limit(lasted)
    share = floor / lasted if lasted else 0.0
    top = max(range(len(known)), key=lambda i: known[i][1])
    step = last_stretch(known[top + 1 :], lambda value: value < floor)
    if step is None:
        return None
    at = [s for s, _ in known].index(step)
    best_step, best = known[top]
    last, drop = known[-1][1], known[at - 1][1] - known[at][1]
    sudden = drop >= AT_ONCE * (best - last)
    lasting = len(known) - at >= LASTING
    return Fall(best, best_step, last, step, known[at - 1][0], sudden, lasting, floor, share)


def rank_fall(ranks: Points, t: Thresholds) -> Fall | None:
    """Returns the fall of an effective rank below half of its best, or None."""
    return fall_of(ranks, lambda best: t.rank_fall * best)


def fallen_rank(history: History, tap: str, ranks: Points, t: Thresholds) -> Finding | None:
    """Returns the finding on a rank that fell below half of its best, from the ranks up to some
    step, or None.

    - dimensional_collapse: a probe or the skill fell too, or only a few directions are left.
    - low_rank: nothing else is known, or it held.
    - note: the probes rose meanwhile, the rank rises again, or only the last validation is low.
    """
    fall = rank_fall(ranks, t)
    if fall is None:
        return None
    text = fall.text("effective rank", lambda v: f"{v:.1f}")
    evidence = evidence_since(history, tap, fall, ranks[-1][0], t)
    key, since = f"val/{tap}/effective_rank", fall.step
    if evidence > 0:
        return Finding("note", f"{tap} {text}, while the probe rose", 0.5, None, since, key)
    far = t.confidence(distance(fall.last, t.rank_fall * fall.best))
    if evidence < 0 or fall.last < t.few_directions:
        text += ", and the probe or the skill fell" if evidence < 0 else ""
        return Finding("dimensional_collapse", text, far, quantity="effective_rank", fallen=True)
    if not fall.lasting or rises_again(ranks, t):
        why = "it rises again" if fall.lasting else "one validation only"
        return Finding("note", f"{tap} {text} ({why})", 0.5, None, since, key)
    return Finding("low_rank", text, far, quantity="effective_rank", fallen=True)


def rises_again(points: Points, t: Thresholds) -> bool:
    """Returns whether the values rise over the last third."""
    tail = last_third(finite(points))
    return tail[-1][1] > t.flat * tail[0][1]


def evidence_since(history: History, tap: str, fall: Fall, step: int, t: Thresholds) -> int:
    """Returns 1 if the probes of a tap rose since the best value and neither they nor the skill
    fell, -1 if they fell, and 0 if they are unknown or held.

    A probe that rose by half of `probe_fall` shows that less rank is no loss. A skill that rose
    does not: few directions are easy to predict. Without probes, a skill that fell shows a loss.
    """
    gains = [
        end - start
        for key in _probes(history, tap)
        if (start := _at(history[key], fall.best_step)) is not None
        and (end := _at(history[key], step)) is not None
    ]
    if gains and min(gains) < -t.probe_fall:
        return -1
    skill = [v for s, v in at_least_0(history.get("val/skill", ())) if s <= step]
    lost = bool(skill) and skill[-1] < max(skill) - t.skill_fall
    if gains and max(gains) > t.probe_fall / 2:
        return 0 if lost else 1
    return -1 if lost else 0


def _probes(history: History, tap: str) -> list[str]:
    """Returns the probes of content that speak for a tap: those named after it, or else all, since
    an aggregate holds nothing that its parts lost. A probe of actions says nothing of images."""
    probes = [
        key
        for key in history
        if key.startswith("val/probe/") and ("class" in key or "_from_" not in key)
    ]
    return [key for key in probes if key.endswith(f"_from_{tap}")] or probes


def _at(points: Points, step: int) -> float | None:
    """Returns the value at a step, or the last one before it."""
    before = [v for s, v in finite(points) if s <= step]
    return before[-1] if before else None


def fall_findings(history: History, taps: Sequence[str], t: Thresholds) -> list[Finding]:
    """Returns a note for each lasting fall of a spread below half of its best, and of the skill or
    a probe by more than its noise.

    A skill that lost half of its best at once is unstable, unless the rank or a probe rose: harder
    targets lower the skill of features that improve.
    """
    found = []
    for tap in taps:
        key = f"val/{tap}/feature_std_l2"
        fall = fall_of(history.get(key, ()), lambda best: t.rank_fall * best)
        if fall is not None and fall.lasting and tap != "z_target":
            found.append(_note(fall, f"{tap} spread", key, lambda v: f"{v:.2g}"))
    for key in ["val/skill", *(k for k in sorted(history) if k.startswith("val/probe/"))]:
        by = t.skill_fall if key == "val/skill" else t.probe_fall
        fall = fall_of(history.get(key, ()), lambda best, by=by: best - by)  # type: ignore[misc]
        if fall is None or not fall.lasting or fall.best <= by:
            continue
        name = key.removeprefix("val/").replace("probe/", "probe ").replace("_", " ")
        note = _note(fall, name, key, lambda v: f"{v:.2f}")
        broke = key == "val/skill" and fall.sudden and fall.last < t.rank_fall * fall.best
        if broke and not _improved(history, taps, fall, t):
            far = t.confidence(distance(fall.last, t.rank_fall * fall.best))
            note = replace(note, status="unstable", confidence=far, next=CALMER)
        found.append(note)
    return found


def _improved(history: History, taps: Sequence[str], fall: Fall, t: Thresholds) -> bool:
    """Returns whether a rank or a probe of classes rose since the best value."""
    ranks = [history.get(f"val/{tap}/effective_rank", ()) for tap in taps]
    ends = [(_at(points, fall.best_step), _at(points, points[-1][0])) for points in ranks if points]
    if any(a is not None and b is not None and b > t.flat * a for a, b in ends):
        return True
    probes = [history[key] for key in _probes(history, "")]
    rises = [(_at(points, fall.best_step), points[-1][1]) for points in probes if points]
    return any(a is not None and b > a + t.probe_fall / 2 for a, b in rises)


def _note(fall: Fall, name: str, key: str, show: Callable[[float], str]) -> Finding:
    return Finding("note", fall.text(name, show), 0.5, since=fall.step, quantity=key)
