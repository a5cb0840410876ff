"""Stable and learning nothing, or of low rank: no matter of stability but of the data or the
network (rule 3)."""

from __future__ import annotations

from collections.abc import Generator

from jepa_lab.studies.arc.investigation.repeats import Result
from jepa_lab.studies.arc.investigation.restore import restored
from jepa_lab.studies.arc.investigation.state import Intervention, Investigation
from jepa_lab.studies.arc.investigation.steps import WELL_POSED


def data_branch(
    investigation: Investigation, stable: Result
) -> Generator[Intervention, Result, None]:
    """One run more: is a problem that can be solved learned, all else as in `stable`, which learns
    nothing?"""
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
