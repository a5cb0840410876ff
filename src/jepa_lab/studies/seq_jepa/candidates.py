"""The changes that could prevent the failure of a seq-JEPA, the likeliest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.remedies import Remedies, in_words
from jepa_lab.diagnosis.trials import Candidate

RATE = "loss.lambda_rate"
STRONG_RATE = 0.01  # weight from which the rate can outweigh the prediction
USUAL_LR = 1e-3
USUAL_FORM = {"loss.center_decay": 0.9, "loss.teacher_temp": 0.04, "loss.student_temp": 0.1}


def candidates(findings: Sequence[Finding], config: Mapping[str, Any]) -> list[Candidate]:
    """Returns the changes that the findings suggest, then those of every part of the configuration
    that could be guilty. Each change occurs once, and none that the run has already."""
    remedies = Remedies()
    suggested = [
        Candidate(tuple(text.split()), f"suggested for {finding.status}")
        for finding in findings
        for text in in_words(finding, config, remedies)
        if not text.startswith("dataset.")
    ]
    every = [*suggested, *_of_target(config), *_of_rate(config), *_of_steps(config)]
    every += _of_form(config) + _of_auxiliary_losses(config)
    return unique(every)


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


def _of_target(config: Mapping[str, Any]) -> list[Candidate]:
    name = value_of(config, "target.name")
    found = []
    if name != "stopgrad":
        found.append(Candidate(("target=stopgrad",), f"the target is {name}"))
    if name != "ema":
        found.append(Candidate(("target=ema",), f"the target is {name}"))
    elif (value_of(config, "target.tau") or 1.0) < 0.9:
        found.append(Candidate(("target.tau=0.99",), "the average forgets within ten steps"))
    return found


def _of_rate(config: Mapping[str, Any]) -> list[Candidate]:
    rate = value_of(config, RATE)
    if not rate:
        return [Candidate((f"{RATE}=0.003",), "no rate holds z_agg apart")]
    found = [Candidate((f"{RATE}=0.0",), f"the rate has the weight {rate:g}")]
    if rate >= STRONG_RATE:
        found.insert(0, Candidate((f"{RATE}=0.003",), f"the rate has the weight {rate:g}"))
    return found


def _of_steps(config: Mapping[str, Any]) -> list[Candidate]:
    lr = value_of(config, "optim.lr")
    usual = isinstance(lr, int | float) and lr > USUAL_LR
    smaller = USUAL_LR if usual else float(lr or USUAL_LR) / 3
    found = [Candidate((f"optim.lr={smaller:.3g}",), f"the learning rate is {lr}")]
    if value_of(config, "optim.warmup") == 0:
        found.append(Candidate(("optim.warmup=0.1",), "the first steps are taken at the full rate"))
    if not value_of(config, "optim.clip"):
        found.append(Candidate(("optim.clip=1.0",), "gradients are not clipped"))
    return found


def _of_form(config: Mapping[str, Any]) -> list[Candidate]:
    form = value_of(config, "loss.form")
    if form in (None, "cosine"):
        return []
    found = [Candidate(("loss=prediction",), f"the prediction loss has the form {form}")]
    for key, usual in USUAL_FORM.items():
        value = value_of(config, key)
        if isinstance(value, int | float) and value != usual:
            found.append(Candidate((f"{key}={usual}",), f"{key} is {value}"))
    return found


def _of_auxiliary_losses(config: Mapping[str, Any]) -> list[Candidate]:
    return [
        Candidate((f"aux.{name}.weight=0",), f"the auxiliary loss {name} is on")
        for name in config.get("aux") or {}
    ]
