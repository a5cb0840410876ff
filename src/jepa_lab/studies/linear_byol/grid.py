"""The runs of a toy's configuration: one, or every combination of its axes, each once."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np

from jepa_lab.studies.linear_byol.config import ToyConfig

AXES = (
    "seeds",
    "batch_sizes",
    "lr_pred_logspace",
    "tau_logspace",
    "lr_enc_logspace",
    "auto_c_logspace",
)
# of the command, not of its runs: threads take whole groups, and change no bit
COMMAND = (
    "runs_dir",
    "on_existing",
    "max_wall_s",
    "save_every_s",
    "figures",
    "sweep",
    "hardware",
    "lr",
)
OWNED = {  # keys that act in one mode only: elsewhere they make no other run
    "enc_over_pred": "ratio",
    "beta_from_tau_c": "from_tau",
    "auto_alpha_c": "auto",
    "auto_beta_c": "auto",
    "auto_rule": "auto",
    "step_scale": "auto",
    "auto_refresh_every": "auto",
    "auto_memory": "auto",
}


def members(config: ToyConfig) -> list[ToyConfig]:
    """The configuration of every single run, no axis left in it; lr_enc is the rate used, but in
    auto mode.

    Seeds vary slowest, then batch sizes, encoder rates of their own, predictor rates (or the
    constants of auto mode), and tau. Runs that would be the same are one: in auto mode the axis of
    predictor rates folds away.
    """
    auto = config.lr_enc_mode == "auto"
    seeds = config.seeds if config.seed is None else [config.seed]
    sizes = config.batch_sizes if config.batch_size is None else [config.batch_size]
    taus = logspace(config.tau_logspace) if config.ema_m is None else [1 - config.ema_m]
    alphas: list[Any] = [None] if auto else _axis(config.lr_pred, config.lr_pred_logspace)
    scales = logspace(config.auto_c_logspace) if config.auto_c_logspace else [None]
    betas: list[Any] = [None]
    if config.lr_enc_mode == "logspace":
        betas = _axis(config.lr_enc, config.lr_enc_logspace)
    return [
        _single(config, *values)
        for values in itertools.product(seeds, sizes, betas, alphas, scales, taus)
    ]


def idle_axes(config: ToyConfig) -> list[str]:
    """A line for every axis that a single value keeps from acting: the user may have meant either.
    A line for every axis that a single value keeps from acting: the user may have meant either."""
    pairs = [
        ("seed", "seeds"),
        ("batch_size", "batch_sizes"),
        ("ema_m", "tau_logspace"),
        ("lr_pred", "lr_pred_logspace"),
    ]
    pairs += [("lr_enc", "lr_enc_logspace")] if config.lr_enc_mode == "logspace" else []
    found = [(key, getattr(config, key), axis, getattr(config, axis)) for key, axis in pairs]
    return [
        f"{key}={value:g} takes the place of {axis}={list(values)}; {key}=null for the axis"
        for key, value, axis, values in found
        if value is not None and values
    ]


def identity_keys(member: ToyConfig) -> dict[str, Any]:
    """The settings that make this run another one than the next: nothing of the grid, nothing
    without effect."""
    settings = dataclasses.asdict(member)
    without = {key for key, mode in OWNED.items() if mode != member.lr_enc_mode}
    if member.enc == "linear" and member.pred in ("linear", "none"):
        without |= {"hidden", "eval_size"}
    if member.population:
        without |= {"batch_size", "symmetric"}
    if member.lr_enc_mode not in ("auto", "logspace"):
        without.add("lr_enc")  # follows from the mode
    return {key: value for key, value in settings.items() if key not in {*AXES, *COMMAND, *without}}


def logspace(axis: list[float] | None) -> list[float]:
    """[lowest, highest, number] as that many values, evenly spaced in their logarithm, to 12
    digits."""
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
