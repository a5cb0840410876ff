"""Changes of the configuration to try for a finding, as overrides. A change is an override
(`optim.clip=1`), or `key*factor` for a multiple of the run's own value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jepa_lab.config.statuses import COLLAPSES
from jepa_lab.config.tree import value_of
from jepa_lab.diagnosis.finding import Finding

USUAL_LR = 1e-3  # learning rate of the recipes
COLLAPSE = (
    "target=stopgrad",
    "target=ema",
    "loss.lambda_rate=0.001 loss.rate_normalise=rows",
    "optim.lr*0.3",
)
CHANGES = {
    "complete_collapse": COLLAPSE,
    "dimensional_collapse": COLLAPSE,
    "uniform_output": ("loss=prediction", "loss.lambda_rate=0.003", "optim.lr*0.3"),
    "no_learning": ("optim.lr*3", "dataset.epochs*3"),
    "low_rank": ("loss.lambda_rate=0.003",),
    "too_short": ("dataset.epochs*3",),
    "inconclusive": ("dataset.epochs*3",),
}


class Remedies:
    """A study's knowledge of its own settings: likely causes of a finding, and changes to try. This
    class has those of seq-JEPA, and the changes name its keys. `no_skill` names the baseline that a
    prediction without skill equals. `evaluates` says whether the study has a frozen evaluation."""

    no_skill = "a constant"
    evaluates = True

    def changes(self, finding: Finding, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns changes to try, the likeliest first: those of the finding, or else those of its
        status."""
        return finding.next or CHANGES.get(finding.status, ())

    def causes(self, statuses: set[str], config: Mapping[str, Any]) -> list[str]:
        """Returns the settings that are known to lead to these statuses, the likeliest first."""
        rate, target = value_of(config, "loss.lambda_rate"), value_of(config, "target.name")
        found = []
        if statuses & set(COLLAPSES) and not rate and config:
            if target == "shared":
                found.append(
                    "target=shared lets the targets become easy to predict, and no rate term"
                    " opposes it"
                )
            elif value_of(config, "loss.form") == "dino":
                found.append(
                    "a DINO form without a rate term: centring and sharpening hold the prototypes,"
                    " not z_agg"
                )
        found += causes_of_steps(statuses, config)
        if "regulariser_dominated" in statuses and rate:
            found.append(f"loss.lambda_rate={rate:g} outweighs the prediction")
        if "ignores_actions" in statuses and config and value_of(config, "loss.rate_target") == "z":
            found.append(
                "the rate reads z alone: nothing makes z_agg keep the information of the actions"
            )
        if "no_learning" in statuses:
            lr = value_of(config, "optim.lr")
            if isinstance(lr, int | float) and 0 < lr < 1e-5:
                found.append(f"optim.lr={lr:g} is too small to learn in this budget")
        return found

    def copied(self, config: Mapping[str, Any]) -> str:
        """Returns the name of the input that a copying prediction would return."""
        return "the last view"


def causes_of_steps(statuses: set[str], config: Mapping[str, Any]) -> list[str]:
    """Returns the settings that make the optimiser steps too large."""
    found = []
    if statuses & {"diverged", "unstable"} and config:
        if not value_of(config, "optim.clip"):
            found.append("optim.clip is off: one bad batch can move the weights by any distance")
        lr = value_of(config, "optim.lr")
        if isinstance(lr, int | float) and lr > 3e-3:
            found.append(f"optim.lr={lr:g} is far above the value of all recipes (0.001)")
        if value_of(config, "optim.warmup") == 0:
            found.append("optim.warmup=0: the first steps are taken at the full rate")
    return found


def in_words(finding: Finding, config: Mapping[str, Any], remedies: Remedies) -> tuple[str, ...]:
    """Returns the changes as overrides. Multiples are computed where the run's value is known.
    Overrides that the run already has are left out."""
    texts = [" ".join(resolved(change, config)) for change in remedies.changes(finding, config)]
    return tuple(text for text in texts if text)


def resolved(change: str, config: Mapping[str, Any]) -> list[str]:
    """Returns the parts of a change as overrides. Those that the configuration already has are left
    out."""
    overrides = []
    for part in change.split():
        if "*" in part:
            key, _, factor = part.partition("*")
            value = value_of(config, key)
            number = isinstance(value, int | float) and not isinstance(value, bool) and bool(value)
            if (
                number
                and key == "optim.lr"
                and float(factor) < 1
                and value * float(factor) > USUAL_LR
            ):
                # a third of a far too large rate is still too large
                overrides.append(f"{key}={USUAL_LR:g}")
                continue
            overrides.append(
                f"{key}={_times(value, float(factor))}" if number else f"{key} times {factor}"
            )
            continue
        key, _, text = part.partition("=")
        value = value_of(config, key)
        value = value.get("name", value) if isinstance(value, Mapping) else value
        if str(value) != text and not (isinstance(value, int | float) and _same(value, text)):
            overrides.append(part)
    return overrides


def _times(value: Any, factor: float) -> str:
    product = value * factor
    return str(max(1, round(product))) if isinstance(value, int) else f"{product:.3g}"


def _same(value: float, text: str) -> bool:
    try:
        return float(text) == value
    except ValueError:
        return False
