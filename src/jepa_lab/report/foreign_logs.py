"""The verdict on the log of other code: on the taps that it has the metrics of, or else on what its
losses, spreads and ranks say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jepa_lab.config.statuses import failed
from jepa_lab.diagnosis.falls import fall_of
from jepa_lab.diagnosis.finding import Finding, History, Points, finite, last_stretch
from jepa_lab.diagnosis.plain import PlainRemedies
from jepa_lab.diagnosis.remedies import in_words
from jepa_lab.diagnosis.rules import Examination, examine
from jepa_lab.diagnosis.stability import diverged, unstable
from jepa_lab.diagnosis.taps import JUDGED, NEEDED
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.errors import UserError
from jepa_lab.report.feature_names import listed
from jepa_lab.report.log_tables import words_of

WANTED = (
    "val/<tap>/effective_rank and val/<tap>/feature_std_l2 are needed, with n and d, as"
    " CollapseMonitor logs them, or the features themselves"
)
CODEBOOK = "codebook"
START = "reference"  # prefix of the metrics at the start of the training
SPREADS = frozenset({"std", "spread"})
RANKS = frozenset({"rank", "rankme", "erank"})
APART = 10  # steps of the optimiser between two validations; epochs are closer
SHOWN = 5  # metrics that a verdict without taps describes


@dataclass(frozen=True)
class Read:
    """The metrics of a log under the names that the rules know, val/<tap>/<metric>. `prefix` is
    what the log has instead of val, and `others` are prefixes that are not judged."""

    history: dict[str, Points]
    taps: tuple[str, ...]
    prefix: str = "val"
    others: tuple[str, ...] = ()


def judged_part(history: History, exact: bool = True) -> Read:
    """Returns the part of a log that the rules judge. `exact` says that steps are those of the
    optimiser and not epochs or rows.

    Taps are the names with an effective rank and a spread below one prefix: the one with the most
    validations, and val rather than another with as many. In the log of a run of ours, which also
    has metrics at the start, only the taps count that such a run judges.
    """
    history = _without_first_slash(history)
    found: dict[str, dict[str, int]] = {}
    for key, points in history.items():
        place, _, metric = key.rpartition("/")
        prefix, _, tap = place.rpartition("/") if "/" not in place else place.partition("/")
        complete = metric == NEEDED[0] and all(history.get(f"{place}/{n}") for n in NEEDED)
        if complete and place and START not in (prefix, tap):
            found.setdefault(prefix, {})[tap] = len(points)
    if not found:
        return Read(dict(history), ())
    prefix = max(found, key=lambda p: (max(found[p].values()), p == "val", p != "test"))
    taps = tuple(found[prefix])
    # the keys of other validations must not stand beside those that are called val from here on
    read = {k: x for k, x in history.items() if prefix == "val" or not k.startswith("val/")}
    of_taps = tuple(f"{prefix}/{tap}/" if prefix else f"{tap}/" for tap in taps)
    starts = (*of_taps, f"{prefix}/{CODEBOOK}/")
    for key in [key for key in history if key.startswith(starts)]:
        read[f"val/{key.removeprefix(f'{prefix}/') if prefix else key}"] = history[key]
    if any(key.startswith(f"{START}/") for key in history):
        taps = tuple(tap for tap in taps if tap in JUDGED) or taps
    for tap in taps:  # a row may lack one of them
        rank, spread = (f"val/{tap}/{name}" for name in NEEDED)
        steps = {step for step, _ in read[spread]}
        read[rank] = [point for point in read[rank] if point[0] in steps]
    read |= _start(read, taps, 0 if exact else APART)
    return Read(read, taps, prefix, tuple(p for p in found if p != prefix))


def _without_first_slash(history: History) -> dict[str, Points]:
    """Returns the metrics without the slash that an empty prefix leaves before their names."""
    named = {key: key.lstrip("/") or key for key in history}
    return {
        new if new == key or new not in history else key: history[key] for key, new in named.items()
    }


def _start(read: Mapping[str, Points], taps: Sequence[str], apart: int) -> dict[str, Points]:
    """Returns the metrics of an untrained network under their names: those of a validation at step
    0 or 1, as Monitor takes them, if the next one is `apart` steps away. None if the log has such
    metrics itself."""
    if any(key.startswith(f"{START}/") for key in read):
        return {}
    prefixes = tuple(f"val/{tap}/" for tap in taps)
    return {
        f"{START}/{key.removeprefix('val/')}": [points[0]]
        for key, points in read.items()
        if key.startswith(prefixes) and points and points[0][0] <= 1
        if not apart or (len(points) > 1 and points[1][0] - points[0][0] >= apart)
    }


def examine_log(history: History, t: Thresholds, exact: bool) -> tuple[Examination, Read]:
    """Returns the examination of a log, and the part of it that was judged.

    The verdict is that of the rules on its taps, and `diverged` if no tap failed and a loss stays
    not finite. Without taps it is `diverged` or `inconclusive`, and says what is known of losses,
    spreads and ranks. Raises UserError if the log has none of these. `exact` is that of
    `judged_part`.
    """
    read = judged_part(history, exact)
    losses = {key: points for key, points in history.items() if "loss" in words_of(key)}
    broken = _broken(losses)
    if not read.taps:
        return _without_taps(history, losses, broken, t), read
    found = examine(read.history, t, judged=read.taps, remedies=PlainRemedies())
    if broken is None or failed(found.verdict.status):
        return found, read
    verdict = replace(
        found.verdict,
        status="diverged",
        tap=None,
        since_step=broken.since,
        confidence=broken.confidence,
        reasons=(broken.reason, *found.verdict.reasons),
        next=in_words(broken, {}, PlainRemedies()),
    )
    return replace(found, verdict=verdict, failures=(broken, *found.failures)), read


def _without_taps(
    history: History, losses: Mapping[str, Points], broken: Finding | None, t: Thresholds
) -> Examination:
    """Returns what a log without the metrics of a tap says."""
    spreads = [key for key in history if words_of(key) & (SPREADS | RANKS) and key not in losses]
    missing = f"no tap to judge: {WANTED}"
    if not losses and not spreads:
        raise UserError(f"{missing}; it has {listed(history)}")
    main = max(losses, key=lambda k: (_is_training(k), len(losses[k])), default="")
    curve = {"train/loss/total": losses.get(main, ())}
    found = [broken, diverged(curve, t), unstable(curve, t)] if main else []
    known = [f for f in found if f is not None]
    texts = list(dict.fromkeys(f.reason.replace("train/loss/total", main) for f in known))
    if main and not known:
        texts.append(_course(main, losses[main]))
    texts += [_spread(key, history[key], t) for key in spreads[:SHOWN]]
    worst = next((f for f in known if f.status == "diverged"), None)
    if worst is None:
        return Examination(Verdict("inconclusive", reasons=(missing, *texts)), missing=(missing,))
    advice = in_words(worst, {}, PlainRemedies())
    verdict = Verdict("diverged", None, worst.since, worst.confidence, tuple(texts), next=advice)
    return Examination(verdict, (worst,), missing=(missing,))


def _broken(losses: Mapping[str, Points]) -> Finding | None:
    """Returns the loss that was the first not to be finite until the end, or None."""
    found = []
    for key, points in losses.items():
        since = last_stretch(points, lambda value: not math.isfinite(value))
        if since is not None:
            found.append(
                Finding("diverged", f"{key} is not finite", 1.0, since=since, quantity=key)
            )
    return min(found, key=lambda f: f.since or 0, default=None)


def _is_training(key: str) -> bool:
    return not words_of(key) & {"val", "valid", "validation", "test", "eval"}


def _course(key: str, points: Points) -> str:
    known = finite(points)
    if not known:
        return f"{key} is never finite"
    return f"{key} {known[0][1]:.3g} at step {known[0][0]}, {known[-1][1]:.3g} at {known[-1][0]}"


def _spread(key: str, points: Points, t: Thresholds) -> str:
    """Returns what is known of a spread or a rank without the other metrics of its tap."""
    fall = fall_of(points, lambda best: t.rank_fall * best)
    if fall is not None:
        return fall.text(key, lambda value: f"{value:.3g}")
    known = finite(points)
    if len(points) > len(known) and not math.isfinite(points[-1][1]):
        return f"{key} is not finite"
    constant = bool(known) and known[-1][1] == 0 and bool(words_of(key) & SPREADS)
    return f"{_course(key, points)}{': all features alike' if constant else ''}"
