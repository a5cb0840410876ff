"""The steps of an investigation as data: the question of each and its changes to the failing run.

Sources: the plan of the public project (E1 to FB3) and the corrections that it never tried. Keys
are those of the ARC study.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jepa_lab.config.tree import value_of
from jepa_lab.studies.arc.investigation.overrides import Overrides, active_losses, without_losses
from jepa_lab.studies.arc.investigation.step_changes import (
    KMEANS,
    OBJECTIVE,
    RELATIVE,
    SHARE,
    WIDE,
    Base,
    fixed,
    fsq,
    half_commitment,
    minimal,
    once_a_step,
    third_of_lr,
    well_posed,
)


def _nothing(base: Base) -> str:
    return ""


@dataclass(frozen=True)
class Step:
    """One step. `code` is that of the plan and `asks` is the question. `change` returns the
    overrides for a base. `blames` names the cause if the step repairs the run. `blocked` returns
    the reason why the step does not apply to a base, or ''."""

    name: str
    code: str
    asks: str
    change: Callable[[Base], Overrides]
    blames: str = ""
    blocked: Callable[[Base], str] = _nothing


def _no_hard_codebook(base: Base) -> str:
    kind = value_of(base, "vq.kind") or "hard"
    if kind != "hard":
        return f"vq.kind={kind} is not a hard codebook"
    return ""


def _no_averages(base: Base) -> str:
    averaged = value_of(base, "vq.ema_decay") is not None
    return _no_hard_codebook(base) or (
        "" if averaged else "this codebook learns by gradient (vq.ema_decay=null)"
    )


def _no_refresh(base: Base) -> str:
    refreshed = value_of(base, "vq.refresh.enabled") is not False
    return _no_hard_codebook(base) or (
        "" if refreshed else "the refresh is off in this run (vq.refresh.enabled=false)"
    )


def _no_second(base: Base) -> str:
    target = value_of(base, "target.name")
    return "" if target in (None, "ema") else f"target={target} has no codebook of its own"


def copied_contexts(base: Base) -> str:
    """Returns why the aggregation of contexts cannot be tested, or ''. Copies of one grid give the
    same vector under any aggregation."""
    problem = value_of(base, "dataset.problem")
    return (
        "the context grids are copies of one (dataset.problem=copies)"
        if problem == "copies"
        else ""
    )


NO_VQ = Step(
    "no_vq",
    "E1",
    "does the run become stable without the codebook?",
    fixed({"vq.enabled": False}),
    "the codebook",
)
FIXES: tuple[Step, ...] = (
    Step(
        "no_refresh",
        "FA1",
        "is it the refresh of dead codes?",
        fixed({"vq.refresh.enabled": False}),
        "the refresh",
        _no_refresh,
    ),
    Step(
        "low_commitment",
        "FA2",
        "is the commitment cost too high?",
        half_commitment,
        "the commitment cost",
        _no_hard_codebook,
    ),
    Step(
        "gentle_refresh",
        "FA3",
        "is the refresh too frequent and too eager?",
        fixed({"vq.refresh.interval": 2000, "vq.refresh.threshold": 0.01}),
        "the refresh's interval and threshold",
        _no_refresh,
    ),
    Step(
        "gradient_codebook",
        "FA4",
        "are the codebook's moving averages too slow?",
        fixed({"vq.ema_decay": None}),
        "the codebook's moving averages",
        _no_averages,
    ),
)
CORRECTIONS: tuple[Step, ...] = (
    Step(
        "in_objective",
        "C1",
        "does the encoder need a commitment loss that works?",
        fixed(OBJECTIVE),
        "a commitment loss that is not in the objective, or weighs the wrong term",
        _no_hard_codebook,
    ),
    Step(
        "kmeans_init",
        "C2",
        "is it the codebook's initialisation?",
        fixed(KMEANS),
        "the codebook's initialisation",
        _no_hard_codebook,
    ),
    Step(
        "update_per_step",
        "C3",
        "is it the codebook's updates, too many or from the wrong tokens?",
        once_a_step,
        "the codebook's update at every forward pass, padding counted",
        _no_averages,
    ),
    Step(
        "one_codebook",
        "C4",
        "do two codebooks drift apart?",
        fixed(SHARE),
        "a separate codebook of the target",
        _no_second,
    ),
    Step(
        "relative_refresh",
        "C5",
        "does the refresh overwrite live codes?",
        fixed(RELATIVE),
        "a refresh that judges codes by their share of all tokens",
        _no_refresh,
    ),
)


def _all_corrections(base: Base) -> Overrides:
    return {
        k: v for step in CORRECTIONS if not step.blocked(base) for k, v in step.change(base).items()
    }


ALL_CORRECTIONS = Step(
    "all_corrections",
    "C6",
    "do all corrections together repair it?",
    _all_corrections,
    "several defects of the codebook at once",
)
FSQ = Step(
    "fsq",
    "C7",
    "does a codebook without learned codes work?",
    fsq,
    "learned codes as such",
    lambda base: (
        "its codes are not learned (vq.kind=fsq)" if value_of(base, "vq.kind") == "fsq" else ""
    ),
)

INFO_NCE = Step(
    "info_nce_only",
    "FB1",
    "is it an auxiliary loss?",
    lambda base: {"vq.enabled": False, **without_losses(base, active_losses(base))},
    "an auxiliary loss",
)
TEMPERATURE = Step(
    "wide_temperature",
    "FB2",
    "is it the range of the temperature?",
    fixed(WIDE),
    "the range of the temperature",
    lambda base: (
        "the loss has no temperature (loss.form=l2)" if value_of(base, "loss.form") == "l2" else ""
    ),
)
MINIMAL = Step("minimal", "E2", "is the minimal run stable?", minimal, "the target branch")
CONTEXTS = tuple(
    Step(
        f"{kind}_context",
        "FB3",
        f"does {kind} aggregation of the contexts help?",
        fixed({"model.context": kind}),
        "the aggregation of the contexts",
        copied_contexts,
    )
    for kind in ("last", "learned", "attention", "gru")
)
CALMER = (
    Step("low_lr", "O1", "is the learning rate too high?", third_of_lr, "the learning rate"),
    Step(
        "fp32", "O2", "is it the precision?", fixed({"precision.name": "fp32"}), "reduced precision"
    ),
)
WELL_POSED = Step(
    "well_posed",
    "D1",
    "does a solvable problem help?",
    well_posed,
    "the data and the architecture: a target that the context does not determine",
    lambda base: "" if well_posed(base) else "the problem is solvable already",
)
