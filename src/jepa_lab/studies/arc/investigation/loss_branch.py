"""Scenario B of the plan: the run also fails without its codebook. The cause is a loss, the
temperature, the target, the context or the optimiser. Every step changes the run without codebook
and auxiliary losses."""

from __future__ import annotations

from collections.abc import Generator

from jepa_lab.studies.arc.investigation.data_branch import data_branch
from jepa_lab.studies.arc.investigation.overrides import Overrides, active_losses, without_losses
from jepa_lab.studies.arc.investigation.repeats import Result
from jepa_lab.studies.arc.investigation.restore import restored
from jepa_lab.studies.arc.investigation.state import Intervention, Investigation
from jepa_lab.studies.arc.investigation.step_changes import Base, shared_target
from jepa_lab.studies.arc.investigation.steps import (
    CALMER,
    CONTEXTS,
    INFO_NCE,
    MINIMAL,
    TEMPERATURE,
    Step,
)

Branch = Generator[Intervention, Result, None]


def loss_branch(investigation: Investigation) -> Branch:
    """Tries steps until a run is good, names the cause, and restores the innocent parts."""
    reduced = yield from investigation.ask(INFO_NCE)
    investigation.losses_asked = reduced is not None
    if reduced is not None and reduced.good:
        yield from _name_the_loss(investigation, reduced)
        return
    if reduced is not None and reduced.stable and not reduced.learns:
        investigation.notes.append(
            "with its auxiliary losses the run is not stable, without them it learns nothing"
        )
        yield from data_branch(investigation, reduced)
        return
    over = INFO_NCE.change(investigation.base)
    steps = (TEMPERATURE, MINIMAL, *CONTEXTS, *CALMER)
    for step in steps:
        result = yield from investigation.ask(step, over)
        investigation.contexts_asked |= step in CONTEXTS and result is not None
        if result is None or not result.good or result is reduced:
            continue
        investigation.cause = step.blames
        investigation.context = step.name.removesuffix("_context") if step in CONTEXTS else ""
        change = (
            shared_target(investigation.base)
            if step is MINIMAL
            else step.change(investigation.base)
        )
        yield from restored(investigation, change, result)
        return


def _name_the_loss(investigation: Investigation, reduced: Result) -> Branch:
    """Adds the auxiliary losses to the stable run to find the guilty ones.

    Each is added alone. If none breaks the run alone, they are added one after another.
    """
    active = active_losses(investigation.base)
    investigation.pending = [f"add_{name}" for name in active] if len(active) > 1 else []
    if len(active) == 1:
        investigation.guilty = active
    for name in active if len(active) > 1 else ():
        result = yield from investigation.ask(_adding(f"add_{name}", [name]))
        if result is not None and not result.good:
            investigation.guilty.append(name)
    if not investigation.guilty:
        added: list[str] = active[:1]
        for name in active[1:-1]:  # all of them: the run without a codebook, known to fail
            added.append(name)
            result = yield from investigation.ask(_adding("add_" + "_".join(added), list(added)))
            if result is not None and not result.good:
                break
        else:
            added = active
        investigation.guilty = added[-1:]
        investigation.notes.append(
            f"no loss breaks the run alone: {added[-1]} does together with"
            f" {', '.join(added[:-1]) or 'nothing'}"
        )
    investigation.cause = f"the auxiliary loss {' and '.join(investigation.guilty)}"
    yield from restored(
        investigation, without_losses(investigation.base, investigation.guilty), reduced
    )


def _adding(name: str, added: list[str]) -> Step:
    def change(base: Base) -> Overrides:
        off = [loss for loss in active_losses(base) if loss not in added]
        return {"vq.enabled": False, **without_losses(base, off)}

    return Step(name, "E4", f"does {' with '.join(added)} break the stable run?", change)
