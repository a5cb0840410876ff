"""Changes to try in an investigation, the parts that all studies share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.remedies import USUAL_LR, Remedies, in_words
from jepa_lab.diagnosis.trials import Candidate


def suggested(
    findings: Sequence[Finding], config: Mapping[str, Any], remedies: Remedies
) -> list[Candidate]:
    """Returns the changes that the verdict suggests for its findings. Longer training is none of
    them, since it prevents nothing."""
    return [
        Candidate(tuple(text.split()), f"suggested for {finding.status}")
        for finding in findings
        for text in in_words(finding, config, remedies)
        if not text.startswith("dataset.epochs") and " times " not in text
    ]


def of_steps(config: Mapping[str, Any]) -> list[Candidate]:
    """Returns the changes that make the optimiser's steps smaller."""
    lr = value_of(config, "optim.lr")
    usual = isinstance(lr, int | float) and lr > USUAL_LR
    smaller = USUAL_LR if usual else float(lr or USUAL_LR) / 3
    found = [Candidate((f"optim.lr={smaller:.3g}",), f"the learning rate is {lr}")]
    if value_of(config, "optim.warmup") == 0:
        found.append(Candidate(("optim.warmup=0.1",), "the first steps are taken at the full rate"))
    if not value_of(config, "optim.clip"):
        found.append(Candidate(("optim.clip=1.0",), "gradients are not clipped"))
    return found


def without_auxiliary_losses(config: Mapping[str, Any]) -> list[Candidate]:
    """Returns a change for every auxiliary loss of the group aux: its weight becomes 0."""
    return [
        Candidate((f"aux.{name}.weight=0",), f"the auxiliary loss {name} is on")
        for name in config.get("aux") or {}
        if value_of(config, f"aux.{name}.weight")
    ]


def unique(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Returns the changes without those that occur before. Equal numbers are one change, however
    they are written."""
    found: dict[tuple[str, ...], Candidate] = {}
    for candidate in candidates:
        found.setdefault(tuple(map(_as_written, candidate.overrides)), candidate)
    return list(found.values())


def _as_written(override: str) -> str:
    key, _, value = override.partition("=")
    try:
        return f"{key}={float(value)!r}"
    except ValueError:
        return override
