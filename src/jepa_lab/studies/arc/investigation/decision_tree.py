"""The decision procedure: it first removes the codebook, then tests the codebook, the losses or the
data, depending on the result.

It is pure logic: a generator that requests runs and receives their results, so that it can be
tested without training. It extends the published plan in two points. A rank that stays low without
the codebook leads to a verdict on the data only if there is nothing else to repair. A repair found
without codebook and losses is tried again with them in place, so that the recommendation leaves out
no more than necessary.
"""

from __future__ import annotations

from collections.abc import Generator

from jepa_lab.studies.arc.investigation.codebook_branch import codebook_branch
from jepa_lab.studies.arc.investigation.data_branch import data_branch
from jepa_lab.studies.arc.investigation.loss_branch import loss_branch
from jepa_lab.studies.arc.investigation.repeats import Result
from jepa_lab.studies.arc.investigation.run_verdict import CLAMPED, CRASH, EMB_COLLAPSE, SPIKE
from jepa_lab.studies.arc.investigation.state import Intervention, Investigation
from jepa_lab.studies.arc.investigation.steps import CALMER, CONTEXTS, CORRECTIONS, FIXES, NO_VQ

Decisions = Generator[Intervention, Result, None]


def decide(investigation: Investigation) -> Decisions:
    """Requests runs until a repair is found or no step is left. Conclusions are stored in
    `investigation`."""
    outset = investigation.outset
    if outset.good:
        investigation.scenario = (
            "healthy" if all(run.verdict.good for run in outset.runs) else "seed"
        )
        investigation.record("E0", "does the run fail?", f"no: {outset.line()}", outset.name)
        return
    investigation.record("E0", "does the run fail?", f"yes: {outset.line()}", outset.name)
    if outset.has(CLAMPED):
        investigation.notes.append(
            "the temperature of the run is on its bound in most steps, where it has no gradient"
        )
    investigation.pending = [NO_VQ.name]
    without = yield from investigation.ask(NO_VQ)
    if without is None:
        investigation.cause = "the run without its codebook could not be run, so nothing is known"
        return
    if not without.stable:
        investigation.scenario = "losses"
        investigation.pending = [
            "info_nce_only",
            "wide_temperature",
            "minimal",
            *(s.name for s in (*CONTEXTS, *CALMER)),
        ]
        yield from loss_branch(investigation)
    elif not without.learns or (without.weak and not _to_repair(outset)):
        yield from data_branch(investigation, without)
    else:
        investigation.scenario = "codebook"
        investigation.fallback = without
        if without.weak:
            investigation.notes.append(
                f"without the codebook the context keeps {without.figure('rank_context'):.1f}"
                " directions: stable, but limited by the data or the network"
            )
        investigation.pending = [
            *(s.name for s in (*FIXES, *CORRECTIONS)),
            "all_corrections",
            "fsq",
        ]
        yield from codebook_branch(investigation, without)


def _to_repair(outset: Result) -> bool:
    return not outset.alive or outset.has(CRASH, SPIKE, EMB_COLLAPSE)
