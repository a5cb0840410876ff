"""The decision procedure: remove the codebook first, and by what that gives look into the codebook, the losses or the
data. Pure logic: it asks for runs and is sent their results, so that it can be tested without training.

Where it says more than the published plan: a rank that stays low without the codebook ends it with a verdict on the
data only if there is nothing else to repair; a repair found with the codebook and the losses removed is tried with them
back in place, so that what is recommended leaves out no more than it has to.
"""

from __future__ import annotations

from collections.abc import Generator

from jepa_lab.studies.arc.investigation.codebook_branch import codebook_branch
from jepa_lab.studies.arc.investigation.data_branch import data_branch
from jepa_lab.studies.arc.investigation.inquiry import Inquiry, Trial
from jepa_lab.studies.arc.investigation.loss_branch import loss_branch
from jepa_lab.studies.arc.investigation.run_verdict import CLAMPED, CRASH, EMB_COLLAPSE, SPIKE
from jepa_lab.studies.arc.investigation.seeds import Result
from jepa_lab.studies.arc.investigation.steps import CALMER, CONTEXTS, CORRECTIONS, FIXES, NO_VQ

Procedure = Generator[Trial, Result, None]


def procedure(inquiry: Inquiry) -> Procedure:
    """Asks for runs until it finds a repair or has nothing left to ask; what it finds is in `inquiry`."""
    outset = inquiry.outset
    if outset.good:
        inquiry.scenario = "healthy" if all(run.verdict.good for run in outset.runs) else "seed"
        inquiry.tell("E0", "does the run fail?", f"no: {outset.line()}", outset.name)
        return
    inquiry.tell("E0", "does the run fail?", f"yes: {outset.line()}", outset.name)
    if outset.has(CLAMPED):
        inquiry.notes.append("the temperature of the run is on its bound in most steps, where it has no gradient")
    inquiry.pending = [NO_VQ.name]
    without = yield from inquiry.ask(NO_VQ)
    if without is None:
        inquiry.cause = "the run without its codebook could not be made, so nothing is known"
        return
    if not without.stable:
        inquiry.scenario = "losses"
        inquiry.pending = ["info_nce_only", "wide_temperature", "minimal", *(s.name for s in (*CONTEXTS, *CALMER))]
        yield from loss_branch(inquiry)
    elif not without.learns or (without.weak and not _to_repair(outset)):
        yield from data_branch(inquiry, without)
    else:
        inquiry.scenario = "codebook"
        inquiry.fallback = without
        if without.weak:
            inquiry.notes.append(
                f"without the codebook the context keeps {without.figure('rank_context'):.1f} directions: stable, but "
                "limited by the data or the network"
            )
        inquiry.pending = [*(s.name for s in (*FIXES, *CORRECTIONS)), "all_corrections", "fsq"]
        yield from codebook_branch(inquiry, without)


def _to_repair(outset: Result) -> bool:
    return not outset.alive or outset.has(CRASH, SPIKE, EMB_COLLAPSE)
