"""The codebook is guilty (the plan's scenario A): is it the refresh, and which change repairs it?
The codebook is guilty (the plan's scenario A): is it the refresh, and which change repairs it?"""

from __future__ import annotations

import math
from collections.abc import Generator

from jepa_lab.config.tree import value_of
from jepa_lab.studies.arc.investigation.repeats import ORDER, Result
from jepa_lab.studies.arc.investigation.run_verdict import DEAD
from jepa_lab.studies.arc.investigation.state import Intervention, Investigation
from jepa_lab.studies.arc.investigation.steps import ALL_CORRECTIONS, CORRECTIONS, FIXES, FSQ


def codebook_branch(
    investigation: Investigation, without: Result
) -> Generator[Intervention, Result, None]:
    """Tries the fixes in the plan's order, then the corrections one by one, then all, then codes
    that are not learned; ends with the first that repairs the run. `without`: the result without a
    codebook."""
    for step in (*FIXES, *CORRECTIONS, ALL_CORRECTIONS, FSQ):
        result = yield from investigation.ask(step)
        if step.name == "no_refresh":
            _attribute(investigation, result)
        if result is None or result is investigation.outset:
            continue
        if step.name == "low_commitment":
            _reaches(investigation, result)
        if repaired(result, without, investigation):
            investigation.repair, investigation.pending = result, []
            investigation.cause = step.blames
            if investigation.refresh == "amplifies":
                investigation.cause += ", which the refresh amplifies"
            return
    investigation.cause = "the codebook"


def repaired(result: Result, without: Result, investigation: Investigation) -> bool:
    """Stable, the codebook in use, and the primary loss close to that without a codebook; a run
    that is well but for its loss is noted."""
    if not result.good:
        return False
    t = investigation.thresholds
    loss, aim, chance = (
        result.figure("primary"),
        without.figure("primary"),
        without.figure("chance"),
    )
    slack = max(t.step_close * aim, t.chance * chance if math.isfinite(chance) else 0.0)
    if loss <= aim + slack:
        return True
    text = (
        f"{result.name} is stable with its codebook in use, but its loss {loss:.3g} is no match for"
        f" {aim:.3g} without"
    )
    investigation.notes.append(f"{text} a codebook")
    return False


def _attribute(investigation: Investigation, result: Result | None) -> None:
    """What the run without refresh says of the refresh (rule 1 of the plan)."""
    outset = investigation.outset
    if result is outset or (
        result is None and value_of(investigation.base, "vq.refresh.enabled") is False
    ):
        investigation.refresh = "innocent"
        text = "no: the run has none, and fails"
    elif result is None:
        investigation.refresh, text = "unknown", "not known: the run without it could not be made"
    elif result.stable and result.alive:
        investigation.refresh, text = (
            "alone",
            "yes: without it the run is stable and its codebook in use",
        )
    elif (outset.spikes and not result.spikes) or (result.stable and not outset.stable):
        gone, stays = (
            _words(outset.flags - result.flags),
            _words(result.flags & (outset.flags | DEAD)),
        )
        investigation.refresh, text = (
            "amplifies",
            f"it amplifies: without it {gone} is gone, {stays} stays",
        )
    else:
        investigation.refresh, text = (
            "innocent",
            f"no: without it the run fails all the same ({result.line()})",
        )
    investigation.tell(
        "FA1", "what does that say of the refresh?", text, *((result.name,) if result else ())
    )


def _words(flags: frozenset[str]) -> str:
    """Failures, the worst first."""
    return " and ".join(flag for flag in ORDER if flag in flags and flag not in ("STABLE", "VQ_OK"))


def _reaches(investigation: Investigation, result: Result) -> None:
    """Half of the commitment cost that changes nothing: is the loss in the objective at all?"""
    t, outset = investigation.thresholds, investigation.outset
    if result.flags != outset.flags or not all(
        math.isclose(result.figure(n), outset.figure(n), rel_tol=t.step_same)
        for n in ("primary", "usage")
    ):
        return
    gradient = outset.figure("commitment_gradient")
    if value_of(investigation.base, "vq.in_objective") is False:
        text = "no: vq.in_objective=false, so the cost is the weight of nothing"
    elif gradient <= 0:
        text = "no: train/gradient/commitment is 0 throughout"
    elif math.isnan(gradient):
        text = "not known: vq.in_objective is set, and no train/gradient/commitment was logged"
    else:
        text = f"yes: its gradient reaches {gradient:.2g}; the cost simply does not matter here"
    investigation.tell(
        "FA2",
        "half the commitment cost changed nothing: does that loss reach the objective?",
        text,
        outset.name,
        result.name,
    )
    if text.startswith("no:"):
        investigation.notes.append(
            f"the commitment loss does not reach the objective ({text.removeprefix('no: ')})"
        )
