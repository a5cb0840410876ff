"""Collapse of one representation, at one moment and over a run. No single quantity decides. A
centred rank calls a constant with noise healthy, a spread calls rank 1 healthy, and RankMe calls a
large mean a collapse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from jepa_lab.config.statuses import LOST
from jepa_lab.diagnosis.falls import fallen_rank
from jepa_lab.diagnosis.finding import Finding, History, at_least_0, best_so_far, last_third
from jepa_lab.diagnosis.thresholds import Thresholds, distance

# z_hat is not judged: it follows from these, and it may have a lower rank than its target.
JUDGED = ("z", "z_agg", "z_target")
NEEDED = ("effective_rank", "feature_std_l2")  # the metrics without which no tap is judged
# statuses of a fallen rank that replace the status without a look at earlier validations
WORSE = {"healthy": ("dimensional_collapse", "low_rank"), "low_rank": ("dimensional_collapse",)}


def judge_tap(
    now: Mapping[str, float], reference: Mapping[str, float], t: Thresholds, *, skill_fell: bool
) -> Finding:
    """Returns the status of one tap from its metrics `now` and those at initialisation,
    `reference`. The metrics are effective_rank, feature_std_l2, mean_pairwise_cosine,
    spectral_cliff_r, n, d, lidar and top_share, as far as they are known."""
    found = _complete(now, t) or _by_rank(now, reference, t, skill_fell)
    concentrated = now.get("top_share", 0.0) >= t.top_share and now.get("d", 0.0) >= 4
    if concentrated and found.status in ("dimensional_collapse", "low_rank"):
        reason = (
            f"{found.reason}; one coordinate holds {100 * now['top_share']:.1f} % of the variance"
        )
        return Finding("dimensional_collapse", reason, found.confidence, quantity="top_share")
    return found


def unused(now: Mapping[str, float], t: Thresholds) -> str:
    """Returns a note on dimensions with hardly any variance, or '' if most dimensions vary."""
    share = now.get("dead_share", 0.0)
    return f"{100 * share:.0f} % of the dimensions hardly vary" if share > t.dead_share else ""


def _by_rank(
    now: Mapping[str, float], reference: Mapping[str, float], t: Thresholds, skill_fell: bool
) -> Finding:
    rank, start = now["effective_rank"], reference.get("effective_rank", math.inf)
    possible = min(now.get("n", math.inf) - 1, now.get("d", math.inf))
    of = f" of {possible:.0f}" if math.isfinite(possible) else ""
    known = f" ({start:.1f} at start)" if math.isfinite(start) else ""
    floor = min(t.rank, 1 + t.rank_share * (possible - 1))
    text = f"effective rank {rank:.1f}{of}{known}"
    far = distance(rank - 1, floor - 1, 0.01)
    if rank < floor:
        lost = rank - 1 < t.rank_fall * (start - 1)  # counts the directions beyond the first
        if start >= t.rank_reference or (lost and math.isfinite(start)):
            return Finding(
                "dimensional_collapse", text, t.confidence(far), quantity="effective_rank"
            )
        return Finding(
            "low_rank", f"{text}, low from the start", t.confidence(far), quantity="effective_rank"
        )
    cliff = now.get("spectral_cliff_r", math.inf)
    edge = max(2.0, t.cliff_share * possible) if math.isfinite(possible) else 2.0
    if cliff <= edge and cliff < possible and reference.get("spectral_cliff_r", math.inf) > edge:
        held = f"{cliff:.0f}{of} directions hold all the variance"
        return Finding(
            "dimensional_collapse",
            held,
            t.confidence(distance(cliff, edge + 1)),
            quantity="spectral_cliff_r",
        )
    if math.isfinite(start) and rank < t.rank_fall * start:
        text += ", and the skill fell" if skill_fell else ""
        status = "dimensional_collapse" if skill_fell else "low_rank"
        return Finding(
            status,
            text,
            t.confidence(distance(rank, t.rank_fall * start)),
            quantity="effective_rank",
        )
    if start < t.rank_reference and rank < min(t.rank_reference, t.flat * start, possible / 2):
        far = t.confidence(distance(rank, t.rank_reference))
        return Finding("low_rank", f"{text}, low from the start", far, quantity="effective_rank")
    few = min(max(t.few_directions, t.cliff_share * possible), possible / 2)
    if not math.isfinite(start) and math.isfinite(possible) and rank < few:
        text = f"effective rank {rank:.1f}{of}, without a cliff"
        return Finding(
            "low_rank", text, t.confidence(distance(rank, few)), quantity="effective_rank"
        )
    return Finding("healthy", "", t.confidence(min(far, distance(now["feature_std_l2"], t.spread))))


def _complete(now: Mapping[str, float], t: Thresholds) -> Finding | None:
    spread = now["feature_std_l2"]
    alike = now.get("mean_pairwise_cosine", 1.0) > t.cosine or spread == 0  # zeros have no cosine
    one_direction = (
        "mean_pairwise_cosine" in now and now["effective_rank"] < t.rank and now.get("d", 0.0) > 2
    )
    # A single outlier can cause the whole spread. The rank is then 1.
    if not alike or (spread >= t.spread and not one_direction):
        return None
    text = f"spread {spread:.3g} (1 is spread evenly), all features alike"
    far = t.confidence(distance(min(spread, t.spread), t.spread))
    return Finding("complete_collapse", text, far, quantity="feature_std_l2")


def findings_of_tap(history: History, tap: str, thresholds: Thresholds) -> list[Finding]:
    """Returns a finding for every validation, in order, with its step in `since`. If a step was
    validated twice, the last validation counts."""
    t = thresholds.of(tap)
    start = last_of(history, f"reference/{tap}/")
    skills = dict(at_least_0(history.get("val/skill", ())))
    found, best = [], -math.inf
    for step, now in validations_of(history, f"val/{tap}/"):
        skill = skills.get(step, math.nan)
        best = max(best, skill) if math.isfinite(skill) else best
        if not all(math.isfinite(now.get(k, math.nan)) for k in NEEDED):
            finding = Finding("diverged", "features are not finite", 1.0, quantity="effective_rank")
        else:
            finding = judge_tap(now, start, t, skill_fell=skill < best - t.skill_fall)
            finding = _by_absolute_facts(finding, now, history, tap, step, t)
        found.append(replace(finding, tap=tap, since=step))
    return found


def _by_absolute_facts(
    found: Finding, now: Mapping[str, float], history: History, tap: str, step: int, t: Thresholds
) -> Finding:
    """Returns the finding, or one that a low or missing reference would hide. Either the rank stays
    below the need of the classes or the input, or it fell below half of its own best in this run
    (see `falls`)."""
    if found.status in LOST or tap == "z_target":
        return found
    ranks = [p for p in history[f"val/{tap}/effective_rank"] if p[0] <= step]
    rank = now["effective_rank"]
    if rank < t.rank_fall * best_so_far(ranks):
        fallen = fallen_rank(history, tap, ranks, t)
        if fallen is not None and fallen.status in WORSE.get(found.status, ()):
            return fallen
    if len(ranks) < t.validations:
        return found
    floor, why = _needed(history, t)
    rises = rank > t.flat * last_third(ranks)[0][1]
    if rank < floor and not rises and not _learning(history, step, t):
        text = f"effective rank {rank:.1f} for {why}, and it does not rise"
        return Finding(
            "dimensional_collapse",
            text,
            t.confidence(distance(rank - 1, floor - 1, 0.01)),
            quantity="effective_rank",
        )
    lidar = now.get("lidar", math.inf)
    if "lidar" in t.values and lidar < t.lidar:
        text = f"LiDAR {lidar:.2f}: only one direction separates the images"
        return Finding(
            "low_rank", text, t.confidence(distance(lidar - 1, t.lidar - 1, 0.01)), quantity="lidar"
        )
    return found


def _learning(history: History, step: int, t: Thresholds) -> bool:
    """Returns whether the prediction is still no better than a constant but improves. It is then
    too early to count a rank that was low from the start as a failure."""
    skill = [p for p in history.get("val/skill", ()) if p[0] <= step]
    return (
        bool(skill)
        and skill[-1][1] < t.some_skill
        and skill[-1][1] > last_third(skill)[0][1] + t.rising
    )


def _needed(history: History, t: Thresholds) -> tuple[float, str]:
    """Returns the smallest rank that the known data needs, and a text that names this data. The
    rank is 0 if nothing is known."""
    last = last_of(history, "reference/")
    classes, inputs = last.get("n_classes", 0.0), last.get("input/effective_rank", math.inf)
    if classes < 2:
        return (
            (t.input_share * inputs, f"an input of rank {inputs:.0f}")
            if inputs < 1e3 and inputs < 8
            else (0.0, "")
        )
    floor = min(t.class_share * classes, t.few_directions, t.input_share * inputs)
    return floor, f"{classes:.0f} classes"


def least_rank(history: History, tap: str, possible: float, t: Thresholds) -> float:
    """Returns the rank below which one of the rules for a tap of this run may report a failure."""
    floor = min(t.rank, 1 + t.rank_share * (possible - 1))
    if tap == "z_target":
        return floor
    half = t.rank_fall * best_so_far(history[f"val/{tap}/effective_rank"])
    return max(floor, _needed(history, t)[0], min(t.few_directions, half))


def validations_of(history: History, prefix: str) -> list[tuple[int, dict[str, float]]]:
    """Returns (step, {metric: value}) of the keys with this prefix, for every step that has an
    effective rank, in order."""
    series = {
        key.removeprefix(prefix): dict(points)
        for key, points in history.items()
        if key.startswith(prefix)
    }
    return [
        (step, {name: points[step] for name, points in series.items() if step in points})
        for step in sorted(series["effective_rank"])
    ]


def last_of(history: History, prefix: str) -> dict[str, float]:
    """Returns {rest of the key: last value} of the keys with this prefix."""
    return {
        k.removeprefix(prefix): p[-1][1] for k, p in history.items() if k.startswith(prefix) and p
    }
