"""Rule 3 of the plan: a run that is stable but learns nothing, or has a low rank, is limited by the
data or the network."""

from __future__ import annotations

from collections.abc import Generator

from jepa_lab.studies.arc.investigation.repeats import Result
from jepa_lab.studies.arc.investigation.restore import restored
from jepa_lab.studies.arc.investigation.state import Intervention, Investigation
from jepa_lab.studies.arc.investigation.steps import WELL_POSED


def data_branch(
    investigation: Investigation, stable: Result
) -> Generator[Intervention, Result, None]:
    """Tests with one more run whether a solvable problem is learned, with all other settings as in
    `stable`."""
    investigation.scenario = "data"
    why = (
        "learns nothing"
        if not stable.learns
        else f"has a context of rank {stable.figure('rank_context'):.1f}"
    )
    investigation.cause = (
        f"the data or the architecture: the run of {stable.name} is stable and {why}"
    )
    investigation.pending = [WELL_POSED.name]
    posed = yield from investigation.ask(WELL_POSED, stable.overrides)
    if posed is not None and posed.good and not posed.weak and posed is not stable:
        investigation.cause = WELL_POSED.blames
        yield from restored(investigation, WELL_POSED.change(investigation.base), posed)
