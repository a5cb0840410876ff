"""Changes that the steps of an investigation make: functions from a configuration to overrides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.studies.arc.investigation.overrides import Overrides, active_losses, without_losses

Base = Mapping[str, Any]


def fixed(overrides: Mapping[str, Any]) -> Callable[[Base], Overrides]:
    """Returns a change with the same overrides for every base."""
    return lambda base: dict(overrides)


def half_commitment(base: Base) -> Overrides:
    value = value_of(base, "vq.commitment")
    return {"vq.commitment": value / 2} if isinstance(value, int | float) and value else {}


def third_of_lr(base: Base) -> Overrides:
    value = value_of(base, "optim.lr")
    return {"optim.lr": float(f"{0.3 * value:.3g}")} if isinstance(value, int | float) else {}


def once_a_step(base: Base) -> Overrides:
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


def well_posed(base: Base) -> Overrides:
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


def fsq(base: Base) -> Overrides:
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
