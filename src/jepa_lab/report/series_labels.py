"""The labels of the last of several files, which may contradict the trend over all files as they
contradict a collapse of one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from jepa_lab.config.statuses import COLLAPSES, PASSES
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.plain import PlainRemedies
from jepa_lab.diagnosis.remedies import in_words
from jepa_lab.diagnosis.rules import Examination
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.diagnosis.verdict import Verdict

HEARD = "yet the labels of the last file are told apart, so this is no collapse"


def with_labels(found: Examination, last: Mapping[str, Verdict], t: Thresholds) -> Examination:
    """Returns the examination of a trend with the labels of the last file.

    `last` are the verdicts on the taps of that file. A collapse of a tap whose labels are told
    apart there, so that the file alone is no collapse, has the status that the file has alone.
    """

    def heard(finding: Finding) -> Finding:
        alone = last.get(finding.tap or "")
        apart = -1.0 if alone is None else alone.evidence.get("separability", -1.0)
        if alone is None or apart < t.told_apart or alone.status not in PASSES:
            return finding
        reason = f"{finding.reason}; {HEARD}"
        return replace(finding, status=alone.status, reason=reason, confidence=alone.confidence)

    failures = [heard(f) if f.status in COLLAPSES else f for f in found.failures]
    if not failures or failures[0] == found.failures[0]:
        return found
    if found.verdict.status not in COLLAPSES:  # of evidence that outweighs the first failure
        return found
    failures.sort(key=lambda f: f.status in ("low_rank", "healthy"))  # stable: others stay ranked
    worst = failures[0]
    healthy = worst.status == "healthy"
    before = tuple(f"before it, {status} of {worst.tap} " for status in COLLAPSES)
    reasons = [reason for reason in found.verdict.reasons if not reason.startswith(before)]
    rest = [reason for reason in reasons if reason != found.failures[0].reason]
    verdict = replace(
        found.verdict,
        status=worst.status,
        tap=worst.tap,
        since_step=None if healthy else worst.since,
        confidence=worst.confidence,
        reasons=(worst.reason, *rest),
        next=in_words(worst, {}, PlainRemedies()),
        per_tap={**found.verdict.per_tap, **{f.tap: f.status for f in failures if f.tap}},
    )
    return replace(
        found, verdict=verdict, failures=tuple(f for f in failures if f.status != "healthy")
    )
