"""Starts from a good run in which parts of the failing run were removed, and tries to put these
parts back, so that the recommendation removes no more than necessary."""

from __future__ import annotations

from collections.abc import Generator

from jepa_lab.studies.arc.investigation.overrides import Overrides
from jepa_lab.studies.arc.investigation.repeats import Result
from jepa_lab.studies.arc.investigation.state import Intervention, Investigation
from jepa_lab.studies.arc.investigation.steps import Step


def restored(
    investigation: Investigation, change: Overrides, reduced: Result
) -> Generator[Intervention, Result, None]:
    """Tries the change alone in the failing run, then in the failing run without a codebook.

    The first good run is the repair. `reduced` is the run that is known to be good. It is the
    repair if neither of the two is good.
    """
    investigation.fallback = reduced
    investigation.pending = ["repaired", "repaired_no_vq"]
    whole = Step(
        "repaired",
        "R1",
        "is that change alone enough, with all else as it was?",
        lambda base: change,
    )
    result = yield from investigation.ask(whole)
    if result is not None and result.good:
        investigation.repair, investigation.pending = result, []
        return
    bare = Step(
        "repaired_no_vq",
        "R2",
        "and without the codebook?",
        lambda base: {**change, "vq.enabled": False},
    )
    less = yield from investigation.ask(bare)
    investigation.pending = []
    investigation.repair = less if less is not None and less.good else reduced
    if less is not None and less.good and result is not None and less is not result:
        investigation.notes.append(
            "the codebook also fails in its own right: repair it next, starting from the run of"
            " the step `repaired`"
        )
