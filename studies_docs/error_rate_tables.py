"""The measured error rate as text and figure, computed from the held half, on which no threshold
was fitted."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from error_rate_fit import fitted_confidence
from error_rate_judged import OF_PREDICTION, Judged, Run, judged, verdict_of
from jepa_lab.config.statuses import SEVERITY
from jepa_lab.diagnosis import Thresholds
from jepa_lab.report.collapse_bench.scores import wilson

BINS = (0.0, 0.5, 0.7, 0.9, 0.99, 1.01)
PROBE_FALL = 0.1  # fall of the online probe below its best that an observer would notice
LABELS = ("failed", "good", "undecided")
STUDIES = ("digits", "toy")


RULES: dict[str, Callable[[Judged], bool | None]] = {
    "the verdict": lambda j: j.failure,
    "the verdict on the features": lambda j: j.of_features,
    "the published rules": lambda j: j.published,
}


def counts(found: Sequence[Judged], rule: str = "the verdict") -> dict[str, int]:
    """Returns the numbers of good and failed runs that were judged, of false alarms among the good
    and of misses among the failed runs. `silent` counts labelled runs that were not judged."""
    result = Counter({"good": 0, "failed": 0, "false_alarms": 0, "misses": 0, "silent": 0})
    for j in found:
        answer = RULES[rule](j)
        if j.run.oracle == "undecided":
            continue
        if answer is None:
            result["silent"] += 1
            continue
        result[j.run.oracle] += 1
        result["false_alarms"] += answer and j.run.oracle == "good"
        result["misses"] += not answer and j.run.oracle == "failed"
    return dict(result)


def content(found: Sequence[Judged]) -> str:
    """Returns the section of docs/diagnosis.md."""
    held = [j for j in found if j.run.half == "held"]
    parts = [
        _intro(found, held),
        _rates(held),
        _statuses(held),
        _calibration(found, held),
        _lead(held),
    ]
    return "\n\n".join(parts)


def _intro(found: Sequence[Judged], held: Sequence[Judged]) -> str:
    n = Counter((j.run.study, j.run.oracle) for j in held)
    told = "; ".join(
        f"{study}: " + ", ".join(f"{n[study, label]} {label}" for label in LABELS)
        for study in STUDIES
    )
    of = Counter(j.run.study for j in found)
    return (
        f"{len(found)} short runs, {of['digits']} on the digits and {of['toy']} of the toy, drawn"
        " at random from a product of settings, each labelled by an oracle on data that no rule"
        " reads (`studies_docs/error_rate_oracle.py` has the rule, `error_rate_runs.py` the"
        " design). Thresholds and confidence were fitted on one half; the rest is of the other,"
        f" {len(held)} runs ({told}). Undecided runs are not counted."
    )


def _rates(held: Sequence[Judged]) -> str:
    lines = [
        (
            "| rules | runs | false alarms | missed | failed, called so | good, called so | no"
            " answer |"
        ),
        "|" + "---|" * 7,
    ]
    for name in RULES:
        for study in (None, *STUDIES):
            c = counts([j for j in held if study in (None, j.run.study)], name)
            lines.append(
                f"| {name} | {study or 'all'} | {_share(c['false_alarms'], c['good'])} "
                f"| {_share(c['misses'], c['failed'])} | {c['failed'] - c['misses']} "
                f"| {c['good'] - c['false_alarms']} | {c['silent']} |"
            )
    return "\n".join(lines) + "\n\n" + _prediction(held)


def _prediction(held: Sequence[Judged]) -> str:
    """Returns the text on false alarms about the prediction: whether the test images
    confirm them."""
    alarms = [
        j
        for j in held
        if j.run.oracle == "good" and j.failure and not j.of_features and j.run.study == "digits"
    ]
    agree = sum(j.run.quantities.get("end/skill", 1.0) < 0.02 for j in alarms)
    left_out = ", ".join(f"`{status}`" for status in OF_PREDICTION)
    text = (
        "In brackets the 95 % interval (Wilson). The oracle asks whether features got worse, and"
        " cannot see a prediction that is worth nothing; the rows *on the features* leave out"
        f" {left_out}. On the toy the rules read how well the latents can be read out, by exact"
        " moments where the oracle takes samples: its figures flatter."
    )
    if not alarms:
        return text
    return (
        f"{text} Of the {len(alarms)} false alarms on the digits that are one of these, {agree}"
        " have a skill below 0.02 on test images too: right about the prediction, while the"
        " features gained from what else trained them."
    )


def _share(count: int, n: int) -> str:
    low, high = wilson(count, n)
    return f"{count} of {n} ({100 * low:.0f} to {100 * high:.0f} %)" if n else "none to ask"


def _statuses(held: Sequence[Judged]) -> str:
    lines = ["| status | study | failed | good | undecided |", "|---|---|---|---|---|"]
    for status in (*SEVERITY, "inconclusive"):
        for study in STUDIES:
            n = Counter(
                j.run.oracle for j in held if j.verdict.status == status and j.run.study == study
            )
            if n:
                lines.append(
                    f"| `{status}` | {study} | "
                    + " | ".join(str(n[label]) for label in LABELS)
                    + " |"
                )
    return "What the verdict called the runs of each label:\n\n" + "\n".join(lines)


def calibration(held: Sequence[Judged]) -> list[tuple[float, float, int, int]]:
    """Returns (mean confidence, share right, number, number right) of every bin that has runs."""
    known = [(j.verdict.confidence, j.right) for j in held if j.weighed]
    rows = []
    for low, high in pairwise(BINS):
        inside = [(c, r) for c, r in known if low <= c < high]
        if inside:
            right = sum(bool(r) for _, r in inside)
            rows.append(
                (statistics.mean(c for c, _ in inside), right / len(inside), len(inside), right)
            )
    return rows


def brier(held: Sequence[Judged]) -> float:
    """Returns the mean squared difference between the confidence and whether the verdict was right.
    0 is best."""
    return statistics.mean(
        (j.verdict.confidence - float(bool(j.right))) ** 2 for j in held if j.weighed
    )


def _calibration(found: Sequence[Judged], held: Sequence[Judged]) -> str:
    slope, intercept = fitted_confidence([j.run for j in found])
    other = judged([j.run for j in held], Thresholds().but(slope=slope, intercept=intercept))
    lines = ["| confidence | mean | right |", "|---|---|---|"]
    for mean, _, n, right in calibration(held):
        low = max(b for b in BINS if b <= mean)
        high = min(1.0, min(b for b in BINS if b > mean))
        lines.append(f"| {low:g} to {high:g} | {mean:.2f} | {_share(right, n)} |")
    text = (
        f"**Confidence.** Brier score {brier(held):.3f} over the {sum(j.weighed for j in held)}"
        " verdicts that say something of the features; those on the prediction are left out, the"
        f" oracle cannot weigh them. The fit half asks for a = {intercept:g} and b = {slope:g},"
        f" which gives {brier(other):.3f} here."
    )
    picture = "![Share of right verdicts over their confidence](images/error_rate.png)"
    return "\n".join([text, "", *lines, "", picture])


def noticed(run: Run) -> int | None:
    """Returns the first step at which the online probe was PROBE_FALL below its best so far, or
    None."""
    best = -math.inf
    for step, value in run.history.get("val/probe/class_from_z_agg", ()):
        best = max(best, value)
        if value < best - PROBE_FALL:
            return step
    return None


def warned(run: Run) -> int | None:
    """Returns the first validation step from which every verdict, based on the history up to then,
    is a failure. None if the last verdict is not a failure."""
    steps = [s for s, _ in run.history.get("val/z/effective_rank", ())]
    since = None
    for step in reversed(steps):
        if verdict_of(run, until=step).status in ("healthy", "low_rank", "inconclusive"):
            break
        since = step
    return since


def _lead(held: Sequence[Judged]) -> str:
    caught = [j for j in held if j.run.study == "digits" and j.run.oracle == "failed" and j.failure]
    seen = [(noticed(j.run), j) for j in caught]
    both = [(step, j) for step, j in seen if step is not None]
    text = (
        f"**Lead.** Of the {len(caught)} failed runs on the digits that were called so, the online"
        f" class probe fell by {PROBE_FALL} below its best in {len(both)}; in the others it never"
        " stood high enough to fall, and so few say little about the lead."
    )
    told = []
    for name, when in (
        ("`since`", lambda j: j.verdict.since_step),
        ("the verdict while training", lambda j: warned(j.run)),
    ):
        leads = [step - at for step, j in both if (at := when(j)) is not None]
        if leads:
            later = sum(lead < 0 for lead in leads)
            told.append(
                f"{name} lies {statistics.median(leads):.0f} steps before that (median;"
                f" {min(leads)} to {max(leads)}, later in {later} of {len(leads)})"
            )
    return f"{text} {'; '.join(told)[:1].upper()}{'; '.join(told)[1:]}." if told else text


def draw(found: Sequence[Judged], path: Path) -> None:
    """Draws the share of right verdicts over the confidence, with intervals, on the held half."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = calibration([j for j in found if j.run.half == "held"])
    figure, axes = plt.subplots(figsize=(4.2, 3.6), dpi=130, layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, zorder=0)
    for mean, share, n, right in rows:
        low, high = wilson(right, n)
        axes.plot([mean, mean], [low, high], color="C0", linewidth=1.5)
        axes.plot(mean, share, "o", color="C0", markersize=3 + math.sqrt(n))
        axes.annotate(
            f"{n} runs",
            (mean, low),
            xytext=(-4, 2),
            textcoords="offset points",
            ha="right",
            fontsize=7,
        )
    axes.set(
        xlim=(0, 1.03),
        ylim=(0, 1.03),
        xlabel="confidence of the verdict",
        ylabel="share of verdicts that were right",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
