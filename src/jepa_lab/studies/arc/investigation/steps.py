"""The steps of an investigation as data: the question of each and its changes to the failing run.

Sources: the plan of the public project (E1 to FB3) and the corrections that it never tried. Keys
are those of the ARC study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.studies.arc.investigation.overrides import Overrides, active_losses, without_losses

Base = Mapping[str, Any]


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


def fixed(overrides: Mapping[str, Any]) -> Callable[[Base], Overrides]:
    """Returns a change with the same overrides for every base."""
    return lambda base: dict(overrides)


def _half_commitment(base: Base) -> Overrides:
    value = value_of(base, "vq.commitment")
    return {"vq.commitment": value / 2} if isinstance(value, int | float) and value else {}


def _third_of_lr(base: Base) -> Overrides:
    value = value_of(base, "optim.lr")
    return {"optim.lr": float(f"{0.3 * value:.3g}")} if isinstance(value, int | float) else {}


def _once_a_step(base: Base) -> Overrides:
    """Updates the codebook once per optimiser step.

    A published refresh counts forward passes, so its interval is converted to optimiser steps.
    """
    overrides: Overrides = {"vq.update": "step", "vq.count_padding": False}
    interval = value_of(base, "vq.refresh.interval")
    if value_of(base, "vq.update") == "forward" and isinstance(interval, int):
        families = sum(
            bool(value_of(base, f"loss.invariance.{name}"))
            for name in ("color", "translation", "symmetry")
        )
        passes = (1 + 2 * families) * (value_of(base, "optim.accumulate") or 1)
        overrides["vq.refresh.interval"] = max(1, round(interval / passes))
    return overrides


def shared_target(base: Base) -> Overrides:
    """Returns overrides that make the online encoder the target and remove the EMA decay."""
    return {
        "target.name": "shared",
        **({"target.tau": None} if value_of(base, "target.tau") is not None else {}),
    }


def minimal(base: Base) -> Overrides:
    """Returns the minimal run of the plan: no codebook, no auxiliary loss, no average, a wide
    temperature range."""
    return {
        "vq.enabled": False,
        **without_losses(base, active_losses(base)),
        **shared_target(base),
        **WIDE,
    }


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


def _well_posed(base: Base) -> Overrides:
    """Replaces published settings of problem and network that make the target unpredictable.

    Also changes what these settings require: several pairs in every task, and transforms of grids
    instead of the published features.
    """
    wanted = (
        ("dataset.problem", "copies", "demos"),
        ("dataset.slot_features", "published", "objects"),
        ("loss.invariance.form", "published", "true"),
        ("model.predictor", "none", "mlp"),
        ("model.projection_form", "relu_end", "linear_end"),
    )
    change: Overrides = {
        key: better for key, worse, better in wanted if value_of(base, key) == worse
    }
    if "dataset.problem" in change and value_of(base, "model.roles") is False:
        change["model.roles"] = True
    pairs = value_of(base, "dataset.synthetic.pairs")
    if "dataset.problem" in change and isinstance(pairs, list) and sum(pairs[:1]) < 2:
        change["dataset.synthetic.pairs"] = [3, 1]
    return change


def _fsq(base: Base) -> Overrides:
    """Selects finite scalar quantisation and removes the settings of learned codes."""
    learned = (
        "size",
        "commitment",
        "ema_decay",
        "init",
        "weight_on",
        "update",
        "gumbel_start",
        "gumbel_end",
        "gumbel_share",
        "gumbel_scale",
        "usage_weight",
    )
    off = {f"vq.{key}": None for key in learned if value_of(base, f"vq.{key}") is not None}
    refresh = {} if value_of(base, "vq.refresh.enabled") is False else {"vq.refresh.enabled": False}
    return {"vq.kind": "fsq", "vq.levels": [8, 5, 5], **off, **refresh}


WIDE: Overrides = {"loss.temperature.min": 0.03, "loss.temperature.max": 0.30}
OBJECTIVE: Overrides = {"vq.in_objective": True, "vq.weight_on": "commitment"}
KMEANS: Overrides = {"vq.init": "kmeans"}
SHARE: Overrides = {"vq.share": True}
RELATIVE: Overrides = {
    "vq.refresh.rule": "relative",
    "vq.refresh.threshold": 0.1,
    "vq.refresh.cap": 0.1,
    "vq.refresh.interval": 20,
}

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
        _half_commitment,
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
        "does the encoder have to be held to its codes?",
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
        _once_a_step,
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
    _fsq,
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
    Step("low_lr", "O1", "is the learning rate too high?", _third_of_lr, "the learning rate"),
    Step(
        "fp32", "O2", "is it the precision?", fixed({"precision.name": "fp32"}), "reduced precision"
    ),
)
WELL_POSED = Step(
    "well_posed",
    "D1",
    "does a solvable problem help?",
    _well_posed,
    "the data and the architecture: a target that the context does not determine",
    lambda base: "" if _well_posed(base) else "the problem is solvable already",
)
