"""From a reduced run that is good back to the whole one: what is recommended leaves out no more
than it has to."""

from __future__ import annotations

from collections.abc import Generator

from jepa_lab.studies.arc.investigation.overrides import Overrides
from jepa_lab.studies.arc.investigation.repeats import Result
from jepa_lab.studies.arc.investigation.state import Intervention, Investigation
from jepa_lab.studies.arc.investigation.steps import Step


def restored(
    investigation: Investigation, change: Overrides, found: Result
) -> Generator[Intervention, Result, None]:
    """Tries the change alone in the whole run, then in the run without a codebook; the least that
    is good is the repair. `found`: the reduced run that is known to be good."""
    investigation.fallback = found
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
    investigation.repair = less if less is not None and less.good else found
    if less is not None and less.good and result is not None and less is not result:
        investigation.notes.append(
            "the codebook fails in its own right beside this: repair it next, starting from the run"
            " of step repaired"
        )
