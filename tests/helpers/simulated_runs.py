"""Simulated metrics of ARC runs with given symptoms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.studies.arc.candidates import LOSSES

Config = Mapping[str, Any]
STEPS = [50 * (i + 1) for i in range(20)]
LOGGED = [10 * (i + 1) for i in range(100)]

PUBLISHED: dict[str, Any] = {
    "study": "arc",
    "name": "arc_sixth_run",
    "seed": 0,
    "runs_dir": "elsewhere",
    "on_existing": "restart",
    "max_wall_s": 1.0,
    "preflight": "strict",
    "dataset": {"problem": "copies", "slot_features": "published", "epochs": 20},
    "model": {"context": "mean", "predictor": "none", "projection_form": "relu_end"},
    "vq": {
        "enabled": True,
        "kind": "hard",
        "size": 64,
        "commitment": 0.3,
        "ema_decay": 0.99,
        "init": "empty",
        "in_objective": False,
        "weight_on": "codebook",
        "update": "forward",
        "count_padding": True,
        "share": False,
        "refresh": {"enabled": True, "interval": 500, "threshold": 0.05, "rule": "legacy_share"},
    },
    "loss": {
        "form": "info_nce",
        "queue": 256,
        "temperature": {"init": 0.07, "min": 0.07, "max": 0.15, "bound": "clamp"},
        "sigreg": {"weight": 0.1},
        "invariance": {"color": 0.1, "translation": 0.05, "symmetry": 0.05},
        "relational": {"weight": 0.05, "self_weight": 0.025},
    },
    "target": {"name": "ema", "tau": 0.99, "memory": 0.05},
    "optim": {"name": "adam", "lr": 1e-3},
    "precision": {"name": "bf16"},
}


@dataclass
class Symptoms:
    """The symptoms of a run. The defaults are those of a healthy run."""

    spikes: bool = False
    collapse: bool = False
    codebook: str = "ok"  # ok | slow | dead
    learns: bool = True
    weak: bool = False
    clamped: bool = False
    exploding: str = ""  # an auxiliary loss
    nan: bool = False
    worse: float = 1.0  # factor on the primary loss
    reached: float = 0.1  # gradient of the commitment loss, if it is in the objective


def get(config: Config, key: str) -> Any:
    return value_of(config, key)


def on(config: Config) -> bool:
    return bool(get(config, "vq.enabled"))


def weight(config: Config, name: str) -> bool:
    return any(get(config, key) for key in LOSSES[name])


def curves(config: Config, s: Symptoms, seed: int = 0) -> dict[str, list[tuple[int, float]]]:
    """Returns the history of a run of 1,000 steps with 20 validations and these symptoms. `seed`
    changes every value a little."""
    chance, wobble = math.log(100), 1 + 0.002 * math.sin(seed)
    loss = [
        (chance * s.worse * (1 - 0.03 * i) if s.learns else chance * 0.999) * wobble
        for i in range(20)
    ]
    ranks = [(6 + 0.4 * i if not s.weak else 2.5 + 0.02 * i) * wobble for i in range(20)]
    spread = [0.5] * 20
    if s.spikes:
        loss[12] *= 2.2
        loss[16] *= 2.4
    if s.collapse:
        ranks[14:], spread[14:] = [1.2] * 6, [0.02] * 6
    end = 12 if s.nan else 20
    history: dict[str, list[tuple[int, float]]] = {
        "val/loss/prediction": at(STEPS, loss)[:end],
        "val/info_nce/chance": at(STEPS, [chance] * 20)[:end],
        "val/skill": at(STEPS, [1 - v / chance for v in loss])[:end],
    }
    for tap in ("z", "z_agg", "z_target"):
        history[f"reference/{tap}/effective_rank"] = [(0, 6.0)]
        history[f"val/{tap}/effective_rank"] = at(STEPS, ranks)[:end]
        history[f"val/{tap}/feature_std_l2"] = at(STEPS, spread)[:end]
        history[f"val/{tap}/mean_pairwise_cosine"] = at(
            STEPS, [0.3 if v > 0.1 else 0.999 for v in spread]
        )[:end]
        history[f"val/{tap}/n"], history[f"val/{tap}/d"] = (
            at(STEPS, [500.0] * 20)[:end],
            at(STEPS, [64.0] * 20)[:end],
        )
    if on(config):
        usage = {
            "ok": [0.5 + 0.005 * i for i in range(20)],
            "slow": [0.5 - 0.018 * i for i in range(20)],
            "dead": [0.3, 0.2, 0.1, 0.06, *[0.03] * 16],
        }[s.codebook]
        history["val/codebook/usage"] = at(STEPS, usage)[:end]
        history["val/codebook/perplexity"] = at(STEPS, [max(2.5, 40 * v) for v in usage])[:end]
        if get(config, "vq.in_objective"):
            history["train/gradient/commitment"] = at(STEPS, [s.reached] * 20)[:end]
    history["train/loss/prediction"] = at(LOGGED, [4.0 - 0.02 * i for i in range(100)])[: 5 * end]
    for name in LOSSES:
        if weight(config, name):
            term = [0.2 + 0.018 * i for i in range(100)] if s.exploding == name else [0.2] * 100
            key = name if name in ("sigreg", "relational") else f"invariance_{name}"
            history[f"train/loss/{key}"] = at(LOGGED, term)[: 5 * end]
            history[f"train/share/{key}"] = at(LOGGED, [v / 10 for v in term])[: 5 * end]
    history["train/temperature_clamped"] = at(LOGGED, [float(s.clamped)] * 100)[: 5 * end]
    history["train/grad_norm"] = at(LOGGED, [3.0] * 100)[: 5 * end]
    if s.nan:
        history["train/loss/prediction"][-1] = (LOGGED[5 * end - 1], math.nan)
    return history


def at(steps: list[int], values: list[float]) -> list[tuple[int, float]]:
    return list(zip(steps, values, strict=True))
