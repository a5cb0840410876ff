"""Why it may have happened: what the evidence began with, and what in the configuration is known to do this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jepa_lab.diagnosis.quantities import timeline, words
from jepa_lab.diagnosis.remedies import value_of
from jepa_lab.diagnosis.rules import Examination
from jepa_lab.studies.arc.remedies import arc_causes, of_arc

COLLAPSES = ("complete_collapse", "dimensional_collapse", "uniform_output")


def causes(examination: Examination, config: Mapping[str, Any]) -> list[str]:
    """The likeliest first. Empty where nothing failed."""
    if not examination.failures:
        return []
    statuses = {f.status for f in examination.failures}
    found = _of_config(statuses, config)
    events = timeline(examination)
    if len({e.began for e in events}) > 1:
        first = events[0]
        found.append(f"it began with {words(first)} at step {first.began} ({first.reason}); the others came after")
    rest = [f.reason for f in examination.failures[:3] if not found or f.tap is None]
    return found + [reason for reason in rest if not any(reason in cause for cause in found)]


def _of_config(statuses: set[str], config: Mapping[str, Any]) -> list[str]:
    if of_arc(config):
        return arc_causes(statuses, config) + _of_steps(statuses, config)
    rate, target = value_of(config, "loss.lambda_rate"), value_of(config, "target.name")
    found = []
    if statuses & set(COLLAPSES) and not rate and config:
        if target == "shared":
            found.append("target=shared moves the targets to what is easy to predict, and no rate term opposes it")
        elif value_of(config, "loss.form") == "dino":
            found.append("a DINO form without a rate term: centring and sharpening hold the prototypes, not z_agg")
    found += _of_steps(statuses, config)
    if "regulariser_dominated" in statuses and rate:
        found.append(f"loss.lambda_rate={rate:g} outweighs the prediction")
    if "ignores_actions" in statuses and config and value_of(config, "loss.rate_target") == "z":
        found.append("the rate reads z alone: z_agg has no reason to keep what the actions tell")
    if "no_learning" in statuses:
        lr = value_of(config, "optim.lr")
        if isinstance(lr, int | float) and 0 < lr < 1e-5:
            found.append(f"optim.lr={lr:g} is too small to learn in this budget")
    return found


def _of_steps(statuses: set[str], config: Mapping[str, Any]) -> list[str]:
    """What makes the steps of the optimiser too long."""
    found = []
    if statuses & {"diverged", "unstable"} and config:
        if not value_of(config, "optim.clip"):
            found.append("optim.clip is off: one bad batch moves the weights as far as it likes")
        lr = value_of(config, "optim.lr")
        if isinstance(lr, int | float) and lr > 3e-3:
            found.append(f"optim.lr={lr:g} is above what any recipe here uses (0.001)")
        if value_of(config, "optim.warmup") == 0:
            found.append("optim.warmup=0: the first steps are taken at the full rate")
    return found
