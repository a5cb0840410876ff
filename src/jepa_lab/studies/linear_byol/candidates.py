"""The changes that could prevent the failure of a run of the linear BYOL toy, the likeliest
first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.remedies import USUAL_LR
from jepa_lab.diagnosis.trials import Candidate
from jepa_lab.training.candidates import unique

SLOWER = 10.0  # ratio of the learning rates
USUAL_TAU = 1e-3
LARGE_BATCH = 256


def candidates(findings: Sequence[Finding], config: Mapping[str, Any]) -> list[Candidate]:
    """Returns a change for every setting that could be guilty. Each occurs once."""
    every = [*_of_target(config), *_of_rates(findings, config), *_of_parts(config)]
    return unique([*every, *_of_steps(config), *_of_data(config)])


def _of_target(config: Mapping[str, Any]) -> list[Candidate]:
    found = []
    memory = config.get("ema_m")
    if config.get("stop_gradient") is False:
        found.append(_change("stop_gradient=true", "the target learns too"))
    if memory is not None and memory < 1 - USUAL_TAU:
        slow = f"ema_m={1 - USUAL_TAU:g}"
        found.append(_change(slow, f"the average remembers {1 / (1 - memory):.3g} steps"))
    if memory is not None and memory > 1 - USUAL_TAU:
        found.append(_change(f"ema_m={1 - USUAL_TAU:g}", "the average hardly moves"))
    return found


def _of_rates(findings: Sequence[Finding], config: Mapping[str, Any]) -> list[Candidate]:
    """Returns smaller rates. For a run that learned nothing also larger ones."""
    rates = {key: config.get(key) for key in ("lr_pred", "lr_enc", "lr")}
    known = {key: float(rate) for key, rate in rates.items() if rate}
    if "lr_pred" in known:
        known.pop("lr", None)  # the rate of what has none of its own: the encoder shares lr_pred
    found = []
    for key, rate in known.items():
        smaller = USUAL_LR if rate >= SLOWER * USUAL_LR else rate / SLOWER
        found.append(_change(f"{key}={smaller:.3g}", f"{key} is {rate:g}"))
        if any(finding.status == "no_learning" for finding in findings):
            found.append(_change(f"{key}={rate * SLOWER:.3g}", f"{key} is {rate:g}"))
    if config.get("lr_enc_mode") == "auto":
        found.append(_change("auto_rule=tau_over_h", f"the rule is {config.get('auto_rule')}"))
        found.append(_change("auto_alpha_c=0.1 auto_beta_c=0.1", "the rates follow the curvature"))
    return found


def _of_parts(config: Mapping[str, Any]) -> list[Candidate]:
    found = []
    if config.get("pred") != "linear":
        found.append(_change("pred=linear", f"the predictor is {config.get('pred')}"))
    if config.get("pred_init") != "optimal" and config.get("pred") == "linear":
        found.append(_change("pred_init=optimal", f"it starts {config.get('pred_init')}"))
    if config.get("enc") == "linear" and config.get("enc_init") not in (None, "pinv"):
        found.append(_change("enc_init=pinv", f"the encoder starts {config.get('enc_init')}"))
    return found


def _of_steps(config: Mapping[str, Any]) -> list[Candidate]:
    found = [
        _change(f"{key}=0", f"{key} is {config[key]:g}")
        for key in ("mom_pred", "mom_enc")
        if config.get(key)
    ]
    return found + [
        _change(f"{key}=1", f"{key} is {config[key]}")
        for key in ("pred_update_every", "enc_update_every")
        if (config.get(key) or 1) > 1
    ]


def _of_data(config: Mapping[str, Any]) -> list[Candidate]:
    found = []
    batch = config.get("batch_size")
    if batch and batch < LARGE_BATCH:
        found.append(_change(f"batch_size={LARGE_BATCH}", f"a batch has {batch} samples"))
    if config.get("orthonormal") is False:
        found.append(_change("orthonormal=true", "the observation mixes the latents"))
    return found


def _change(overrides: str, why: str) -> Candidate:
    return Candidate(tuple(overrides.split()), why)
