"""Stable and learning nothing, or of low rank: no matter of stability but of the data or the network (rule 3)."""

from __future__ import annotations

from collections.abc import Generator

from jepa_lab.studies.arc.investigation.inquiry import Inquiry, Trial
from jepa_lab.studies.arc.investigation.restoring import restored
from jepa_lab.studies.arc.investigation.seeds import Result
from jepa_lab.studies.arc.investigation.steps import WELL_POSED


def data_branch(inquiry: Inquiry, stable: Result) -> Generator[Trial, Result, None]:
    """One run more: is a problem that can be solved learned, all else as in `stable`, which learns nothing?"""
    inquiry.scenario = "data"
    why = "learns nothing" if not stable.learns else f"has a context of rank {stable.figure('rank_context'):.1f}"
    inquiry.cause = f"the data or the architecture: the run of {stable.name} is stable and {why}"
    inquiry.pending = [WELL_POSED.name]
    posed = yield from inquiry.ask(WELL_POSED, stable.overlay)
    if posed is not None and posed.good and not posed.weak and posed is not stable:
        inquiry.cause = WELL_POSED.blames
        yield from restored(inquiry, WELL_POSED.change(inquiry.base), posed)
