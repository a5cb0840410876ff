"""The runs of a toy's configuration: a single run, or every combination of the values on its axes,
without repeats."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np

from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.idle_keys import uncounted_keys
from jepa_lab.studies.linear_byol.key_groups import AXES, COMMAND_KEYS


def members(config: ToyConfig) -> list[ToyConfig]:
    """Returns the configuration of every single run, without axes. Its lr_enc is the rate that is
    used, or None in auto mode. The first of `axes` varies slowest."""
    return [_single(config, *values) for values in itertools.product(*axes(config))]


def axes(config: ToyConfig) -> tuple[list[Any], ...]:
    """Returns the values of the seeds, the batch sizes, the encoder rates of the logspace mode, the
    predictor rates, the constants of auto mode, and tau. An axis without effect is [None]."""
    auto = config.lr_enc_mode == "auto"
    seeds = config.seeds if config.seed is None else [config.seed]
    sizes = config.batch_sizes if config.batch_size is None else [config.batch_size]
    taus = logspace(config.tau_logspace) if config.ema_m is None else [1 - config.ema_m]
    alphas: list[Any] = [None] if auto else _axis(config.lr_pred, config.lr_pred_logspace)
    scales = logspace(config.auto_c_logspace) if config.auto_c_logspace else [None]
    betas: list[Any] = [None]
    if config.lr_enc_mode == "logspace":
        betas = _axis(config.lr_enc, config.lr_enc_logspace)
    return seeds, sizes, betas, alphas, scales, taus


def idle_axes(config: ToyConfig) -> list[str]:
    """Returns a line for every axis that a single value replaces, because the user may have wanted
    the axis."""
    lines = []
    for axis, key in AXES.items():
        if key is None or (key == "lr_enc" and config.lr_enc_mode != "logspace"):
            continue
        value, values = getattr(config, key), getattr(config, axis)
        if value is not None and values:
            lines.append(f"{key}={value:g} replaces {axis}={list(values)}; {key}=null for the axis")
    return lines


def identity_keys(member: ToyConfig) -> dict[str, Any]:
    """Returns the settings that identify the run. Keys of the grid, keys of the command and keys
    without effect are left out."""
    settings = dataclasses.asdict(member)
    without = set(uncounted_keys(member))
    if member.lr_enc_mode not in ("auto", "logspace"):
        without.add("lr_enc")  # follows from the mode
    without.update(AXES, COMMAND_KEYS)
    return {key: value for key, value in settings.items() if key not in without}


def logspace(axis: list[float] | None) -> list[float]:
    """Returns the values of the axis [lowest, highest, number]. They are evenly spaced in their
    logarithm and rounded to 12 digits."""
    assert axis is not None
    low, high, number = axis
    return [
        float(f"{value:.12g}") for value in np.logspace(np.log10(low), np.log10(high), int(number))
    ]


def _axis(value: float | None, axis: list[float] | None) -> list[float]:
    return logspace(axis) if value is None else [value]


def _single(
    config: ToyConfig,
    seed: int,
    size: int,
    beta: float | None,
    alpha: float | None,
    scale: float | None,
    tau: float,
) -> ToyConfig:
    """Returns the configuration of one run. `size` is its batch size, `beta` the encoder's rate in
    logspace mode, `alpha` the predictor's rate, and `scale` the constant c of auto mode."""
    rates = {
        "same": alpha,
        "ratio": (
            None if alpha is None or config.enc_over_pred is None else config.enc_over_pred * alpha
        ),
        "logspace": beta,
        "from_tau": None if config.beta_from_tau_c is None else config.beta_from_tau_c * tau,
        "auto": None,
    }
    return dataclasses.replace(
        config,
        seed=seed,
        batch_size=size,
        lr_pred=alpha,
        lr_enc=rates[str(config.lr_enc_mode)],
        ema_m=float(f"{1 - tau:.15g}"),
        auto_alpha_c=config.auto_alpha_c if scale is None else scale,
        auto_beta_c=config.auto_beta_c if scale is None else scale,
        seeds=[],
        batch_sizes=[],
        lr_pred_logspace=None,
        tau_logspace=None,
        lr_enc_logspace=None,
        auto_c_logspace=None,
    )
