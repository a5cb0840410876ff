"""The order of failures: the worst decides the status, and the one that came first is named with
its own step."""

from __future__ import annotations

from collections.abc import Sequence

from jepa_lab.config.statuses import COLLAPSES, SEVERITY, failed
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.taps import JUDGED

# faults of the prediction that are not named as coming before another failure
NO_CAUSE = ("ignores_actions", "copy_shortcut")
# nor as coming before a collapse: a prediction that never learned did not cause it
NO_CAUSE_OF_COLLAPSE = (*NO_CAUSE, "no_learning")


def ranked(failures: Sequence[Finding]) -> list[Finding]:
    """Sorts the failures, the worst first, and of one status the earliest first. A codebook that
    collapsed before the rank fell comes first, since the loss of rank followed from it."""
    found = sorted(failures, key=_rank)
    codebook = next((f for f in found if f.status == "codebook_collapse"), None)
    if codebook is not None and found[0].status in COLLAPSES and _before(codebook, found[0]):
        found.remove(codebook)
        found.insert(0, codebook)
    return found


def _rank(f: Finding) -> tuple[int, float, int]:
    place = JUDGED.index(f.tap) if f.tap in JUDGED else len(JUDGED)
    return SEVERITY.index(f.status), float("inf") if f.since is None else f.since, place


def first_failure(worst: Finding, others: Sequence[Finding]) -> Finding | None:
    """Returns the earliest of the other failures if it began before the worst one and holds to the
    end, or to the point from which nothing more can be measured. None if there is none. A rank that
    fell by half counts among them."""
    if worst.since is None:
        return None
    earlier = [
        f
        for f in others
        if (failed(f.status) or (f.status == "low_rank" and f.fallen))
        and f.status not in (NO_CAUSE_OF_COLLAPSE if worst.status in COLLAPSES else NO_CAUSE)
        and f.since is not None
        and f.since < worst.since
    ]
    return min(earlier, key=lambda f: (f.since or 0, SEVERITY.index(f.status)), default=None)


def named(first: Finding) -> str:
    """Returns the sentence that names a failure which came before the worst one."""
    place = f" of {first.tap}" if first.tap else ""
    return f"before it, {first.status}{place} since step {first.since}: {first.reason}"


def earlier_in(findings: Sequence[Finding]) -> Finding | None:
    """Returns the failure that a tap had before its last status, from the findings of all its
    validations. It must have led to the last one without a validation that was no failure.
    None if the last status is no failure, or the first of that stretch."""
    stretch: list[Finding] = []
    for finding in reversed(findings):
        if not failed(finding.status):
            break
        stretch.append(finding)
    if not stretch or stretch[-1].status == stretch[0].status:
        return None
    return stretch[-1]


def _before(one: Finding, other: Finding) -> bool:
    return one.began is not None and other.began is not None and one.began < other.began
