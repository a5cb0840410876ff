"""Likely causes of a failure: the first violation in time, and settings that are known to lead to
it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jepa_lab.diagnosis.quantities import timeline, words
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.diagnosis.rules import Examination


def causes(examination: Examination, config: Mapping[str, Any], remedies: Remedies) -> list[str]:
    """Returns the likely causes, the likeliest first. The list is empty if nothing failed."""
    if not examination.failures:
        return []
    statuses = {f.status for f in examination.failures}
    likely = remedies.causes(statuses, config)
    events = timeline(examination)
    if len({e.began for e in events}) > 1:
        first = events[0]
        likely.append(
            f"it began with {words(first)} at step {first.began} ({first.reason}); the others"
            " followed"
        )
    rest = [f.reason for f in examination.failures[:3] if not likely or f.tap is None]
    return likely + [reason for reason in rest if not any(reason in cause for cause in likely)]
