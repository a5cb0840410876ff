"""The numbers and sentences behind a verdict, and the measurements that it lacks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from jepa_lab.diagnosis.finding import History, last_third
from jepa_lab.diagnosis.thresholds import Thresholds

TAP_METRICS = (
    "effective_rank",
    "rankme",
    "feature_std_l2",
    "mean_pairwise_cosine",
    "spectral_cliff_r",
    "eigenvalue_ratio",
)
RUN_KEYS = (
    "val/skill",
    "val/action_gain",
    "val/demo_gain",
    "val/copy_gain",
    "val/loss/prediction",
    "val/action_use",
    "val/prediction_gap",
    "val/readout/action_gain",
    "reference/n_classes",
)


def lacking(history: History, taps: Sequence[str], t: Thresholds) -> tuple[str, ...]:
    """Returns the measurements that are missing to judge the representations."""
    if not taps and history.get("val/codebook/usage"):
        return ()
    if not taps:
        given = sorted(k for k, points in history.items() if points and k.startswith("val/"))
        return (_without_taps(given),)
    n = min(
        history[f"val/{tap}/n"][-1][1] if history.get(f"val/{tap}/n") else math.inf for tap in taps
    )
    return (f"{n:.0f} validation samples; {t.samples:.0f} are needed",) if n < t.samples else ()


def too_thin(history: History, taps: Sequence[str], t: Thresholds) -> dict[str, str]:
    """Returns {tap: reason} of the taps that have too few rows to be judged beside others that have
    enough, {} if all have too few."""
    counts = {tap: history[f"val/{tap}/n"][-1][1] for tap in taps if history.get(f"val/{tap}/n")}
    few = {tap: n for tap, n in counts.items() if n < t.samples}
    if len(few) == len(taps):
        return {}
    return {
        tap: f"{tap} is not judged: {n:.0f} rows, {t.samples:.0f} are needed"
        for tap, n in few.items()
    }


def _without_taps(given: Sequence[str]) -> str:
    """Returns what is missing to judge any tap. `given` are the keys of validations."""
    taps = [key.split("/")[1] for key in given if key.count("/") == 2]
    if not taps:
        return "no validation of the representations was logged"
    needed = " and ".join(
        f"val/{taps[0]}/{name}"
        for name in ("effective_rank", "feature_std_l2", "n")
        if f"val/{taps[0]}/{name}" not in given
    )
    return f"of the representations only {', '.join(given[:3])} was logged; {needed} is needed"


def skipped_steps(history: History) -> tuple[str, ...]:
    skipped = history.get("train/skipped_steps")
    if not skipped:
        return ()
    steps = max(
        step
        for key, points in history.items()
        if key.startswith("train/")
        for step, _ in points[-1:]
    )
    return (
        (
            f"{skipped[-1][1]:.0f} of {steps} optimiser steps were skipped, their loss or gradient"
            " not finite"
        ),
    )


def evidence_of(history: History, taps: Sequence[str]) -> dict[str, float]:
    keys = [
        f"{where}/{tap}/{name}"
        for where in ("val", "reference")
        for tap in taps
        for name in TAP_METRICS
    ]
    keys += [*RUN_KEYS, *(f"val/codebook/{name}" for name in ("usage", "perplexity"))]
    keys += [key for key in history if key.startswith(("val/probe/", "train/gradient/"))]
    evidence = {key: history[key][-1][1] for key in keys if history.get(key)}
    information = history.get("train/dino/mutual_information")
    if information:
        tail = last_third(information)
        evidence["train/dino/mutual_information"] = sum(v for _, v in tail) / len(tail)
    return evidence


def healthy_reason(evidence: Mapping[str, float], tap: str) -> str:
    rank, spread = evidence[f"val/{tap}/effective_rank"], evidence[f"val/{tap}/feature_std_l2"]
    start = evidence.get(f"reference/{tap}/effective_rank")
    known = "" if start is None else f" ({start:.1f} at start)"
    return f"{tap} effective rank {rank:.1f}{known}, spread {spread:.2f}"
