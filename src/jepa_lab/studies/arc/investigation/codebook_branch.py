"""Scenario A of the plan: the codebook causes the failure. This branch tests the refresh and
searches for a change that repairs the codebook."""

from __future__ import annotations

import math
from collections.abc import Generator

from jepa_lab.config.tree import value_of
from jepa_lab.studies.arc.investigation.repeats import ORDER, Result
from jepa_lab.studies.arc.investigation.run_verdict import DEAD
from jepa_lab.studies.arc.investigation.state import Intervention, Investigation
from jepa_lab.studies.arc.investigation.steps import ALL_CORRECTIONS, CORRECTIONS, FIXES, FSQ

REFRESH_QUESTION = "what does this show about the refresh?"


def codebook_branch(
    investigation: Investigation, without: Result
) -> Generator[Intervention, Result, None]:
    """Tries the fixes in the plan's order, the corrections one by one, all corrections, and codes
    that are not learned. Ends at the first repair. `without` is the result without a codebook."""
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
    """Returns whether the run is good and its primary loss is close to that without a codebook.

    A good run with a worse loss is noted.
    """
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
        f"{result.name} is stable with its codebook in use, but its loss {loss:.3g} is worse than"
        f" {aim:.3g} without a codebook"
    )
    investigation.notes.append(text)
    return False


def _attribute(investigation: Investigation, result: Result | None) -> None:
    """Concludes from the run without refresh how the refresh is involved (rule 1 of the plan)."""
    outset = investigation.outset
    if result is outset or (
        result is None and value_of(investigation.base, "vq.refresh.enabled") is False
    ):
        investigation.refresh = "innocent"
        text = "no: the run has no refresh, and fails"
    elif result is None:
        investigation.refresh, text = "unknown", "not known: the run without it could not be run"
    elif result.stable and result.alive:
        investigation.refresh, text = (
            "alone",
            "yes: without it the run is stable and its codebook in use",
        )
    elif (outset.spikes and not result.spikes) or (result.stable and not outset.stable):
        gone, stays = (
            _failures(outset.flags - result.flags),
            _failures(result.flags & (outset.flags | DEAD)),
        )
        investigation.refresh, text = (
            "amplifies",
            f"it amplifies the failure: without it {gone} disappears, {stays} remains",
        )
    else:
        investigation.refresh, text = (
            "innocent",
            f"no: without it the run fails all the same ({result.line()})",
        )
    investigation.record("FA1", REFRESH_QUESTION, text, *((result.name,) if result else ()))


def _failures(flags: frozenset[str]) -> str:
    """Joins the failures among the flags, the worst first."""
    return " and ".join(flag for flag in ORDER if flag in flags and flag not in ("STABLE", "VQ_OK"))


def _reaches(investigation: Investigation, result: Result) -> None:
    """Records whether the commitment loss reaches the objective, if halving its cost changed
    nothing."""
    t, outset = investigation.thresholds, investigation.outset
    if result.flags != outset.flags or not all(
        math.isclose(result.figure(n), outset.figure(n), rel_tol=t.step_same)
        for n in ("primary", "usage")
    ):
        return
    gradient = outset.figure("commitment_gradient")
    if value_of(investigation.base, "vq.in_objective") is False:
        text = "no: vq.in_objective=false, so the cost has no effect"
    elif gradient <= 0:
        text = "no: train/gradient/commitment is 0 throughout"
    elif math.isnan(gradient):
        text = "not known: vq.in_objective is set, and no train/gradient/commitment was logged"
    else:
        text = f"yes: its gradient reaches {gradient:.2g}; the cost simply does not matter here"
    investigation.record(
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
