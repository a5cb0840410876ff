"""The changes that could prevent the failure of a seq-JEPA, the likeliest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.diagnosis.trials import Candidate
from jepa_lab.training.candidates import of_steps, suggested, unique, without_auxiliary_losses

RATE = "loss.lambda_rate"
STRONG_RATE = 0.01  # weight from which the rate can outweigh the prediction
SMALL_BATCH = 16
LARGER = 4  # times the batch and the epochs: as many steps
# factors of affine views: (key, least span that a model can tell apart, usual range)
VIEWS = (("rotation", 10, [-75, 75]), ("translation", 1, [-4, 4]), ("scale", 0.05, [0.5, 1.0]))
USUAL_FORM = {"loss.center_decay": 0.9, "loss.teacher_temp": 0.04, "loss.student_temp": 0.1}


def candidates(findings: Sequence[Finding], config: Mapping[str, Any]) -> list[Candidate]:
    """Returns the changes that the findings suggest, then those of every part of the configuration
    that could be guilty. Each change occurs once."""
    every = [*suggested(findings, config, Remedies()), *_of_target(config), *_of_rate(config)]
    every += [*of_steps(config), *_of_form(config), *without_auxiliary_losses(config)]
    return unique(every + _of_network(config) + _of_views(config))


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


def _of_network(config: Mapping[str, Any]) -> list[Candidate]:
    """Returns the usual value of every unusual setting of predictor, action path and norms."""
    usual = (
        ("model.action_conditioning", False, "true", "the model does not get the actions"),
        ("model.hidden", 0, "1024", "the predictor is linear"),
        ("model.action_bn", "two_calls", "single_call", "actions have two batch statistics"),
        ("target.bn_buffers", "own_running", "averaged", "the target has statistics of its own"),
        ("target.bn_buffers", "copied", "averaged", "the target has the encoder's statistics"),
        ("precision.name", "bf16", "fp32", "the precision is bf16"),
    )
    found = [
        Candidate((f"{key.removesuffix('.name')}={better}",), why)
        for key, value, better, why in usual
        if value_of(config, key) == value and type(value_of(config, key)) is type(value)
    ]
    batch, epochs = (value_of(config, f"dataset.{key}") for key in ("batch_size", "epochs"))
    if isinstance(batch, int) and batch <= SMALL_BATCH:
        larger = (f"dataset.batch_size={LARGER * batch}", f"dataset.epochs={LARGER * epochs}")
        found.append(Candidate(larger, f"a batch has {batch} images; as many steps", hot=False))
    return found


def _of_views(config: Mapping[str, Any]) -> list[Candidate]:
    """Returns the usual range of every affine factor that hardly changes the views, all of them
    together first."""
    found = []
    for key, least, usual in VIEWS:
        value = value_of(config, f"dataset.{key}")
        if isinstance(value, list) and abs(value[1] - value[0]) < least:
            text = f"dataset.{key}={str(usual).replace(' ', '')}"
            found.append(Candidate((text,), f"views differ little in {key}: {value}", hot=False))
    if len(found) > 1:
        every = tuple(override for candidate in found for override in candidate.overrides)
        found.insert(0, Candidate(every, "the views are nearly equal", hot=False))
    return found
