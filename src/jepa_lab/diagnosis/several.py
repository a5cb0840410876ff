"""One verdict from those on several taps, chosen as the rules over a history choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from jepa_lab.config.statuses import PASSES, SEVERITY
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.order import ranked
from jepa_lab.diagnosis.verdict import Verdict


def worst_of(verdicts: Mapping[str, Verdict]) -> Verdict:
    """Returns the worst of the verdicts on taps by name, as `judge` orders failures.

    It is that of the worst tap, with the status of every tap and the evidence of all, whose names
    begin with the tap. A tap with too few rows makes it inconclusive, unless another tap failed. If
    no tap failed, it is healthy, with the reasons of all taps and the least confidence.
    """
    if len(verdicts) == 1:
        return next(iter(verdicts.values()))
    per_tap = {
        (name if tap == "z" else tap): status
        for name, verdict in verdicts.items()
        for tap, status in (verdict.per_tap or {"z": verdict.status}).items()
    }
    evidence = {
        f"{name}/{key}": value for name, v in verdicts.items() for key, value in v.evidence.items()
    }
    found = [
        Finding(v.status, "; ".join(v.reasons), v.confidence, name, v.since_step)
        for name, v in verdicts.items()
        if v.status in SEVERITY and v.status != "healthy"
    ]
    first = str(ranked(found)[0].tap) if found else ""
    unknown = [name for name, v in verdicts.items() if v.status == "inconclusive"]
    if unknown and (not first or verdicts[first].status in PASSES):
        first = unknown[0]
    if first:
        worst = verdicts[first]
        tap = worst.tap if worst.tap == "codebook" else first
        return replace(worst, tap=tap, per_tap=per_tap, evidence=evidence)
    return Verdict(
        "healthy",
        None,
        confidence=min(v.confidence for v in verdicts.values()),
        reasons=tuple(f"{name}: {v.reasons[0]}" for name, v in verdicts.items() if v.reasons),
        evidence=evidence,
        per_tap=per_tap,
    )
