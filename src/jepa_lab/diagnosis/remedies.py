"""What to try next: changes of the configuration for a finding, as words or as the run's own command.

A change is an override (`optim.clip=1`), or `key*factor` for a multiple of what the run had.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jepa_lab.config.tree import value_of as value_of
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.studies.arc.remedies import arc_changes, of_arc

USUAL_LR = 1e-3  # of our recipes
COLLAPSE = ("target=stopgrad", "target=ema", "loss.lambda_rate=0.001 loss.rate_normalise=rows", "optim.lr*0.3")
CHANGES = {
    "complete_collapse": COLLAPSE,
    "dimensional_collapse": COLLAPSE,
    "uniform_output": ("loss=prediction", "loss.lambda_rate=0.003", "optim.lr*0.3"),
    "no_learning": ("optim.lr*3", "dataset.epochs*3"),
    "low_rank": ("loss.lambda_rate=0.003",),
}


def changes_for(finding: Finding, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The finding's own changes, or those of its status; of an ARC run those that its configuration asks for."""
    if of_arc(config):
        return arc_changes(finding, config)
    return finding.next or CHANGES.get(finding.status, ())


def in_words(finding: Finding, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The changes as overrides, multiples worked out where the run's value is known; without what it has already."""
    texts = [" ".join(resolved(change, config)) for change in changes_for(finding, config)]
    return tuple(text for text in texts if text)


def resolved(change: str, config: Mapping[str, Any]) -> list[str]:
    """The words of a change as overrides; those that the configuration has already are left out."""
    words = []
    for word in change.split():
        if "*" in word:
            key, _, factor = word.partition("*")
            value = value_of(config, key)
            number = isinstance(value, int | float) and not isinstance(value, bool) and bool(value)
            if number and key == "optim.lr" and float(factor) < 1 and value * float(factor) > USUAL_LR:
                words.append(f"{key}={USUAL_LR:g}")  # a third of far too much is too much as well
                continue
            words.append(f"{key}={_times(value, float(factor))}" if number else f"{key} times {factor}")
            continue
        key, _, text = word.partition("=")
        value = value_of(config, key)
        value = value.get("name", value) if isinstance(value, Mapping) else value
        if str(value) != text and not (isinstance(value, int | float) and _same(value, text)):
            words.append(word)
    return words


def _times(value: Any, factor: float) -> str:
    product = value * factor
    return str(max(1, round(product))) if isinstance(value, int) else f"{product:.3g}"


def _same(value: float, text: str) -> bool:
    try:
        return float(text) == value
    except ValueError:
        return False
