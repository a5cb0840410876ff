"""Trains and labels the runs of the measured error rate (see `error_rate_oracle`).

There are 170 short runs on the digits and 170 of the toy, each drawn with a fixed seed from a
product of settings. Contradictory settings are drawn again. The last 60 runs of the digits come
from the rough corner of the product: no rate and high learning rates, half of them without
clipping. The whole product fails too seldom to measure a miss.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from error_rate_oracle import digits_label, digits_quantities, toy_label, toy_quantities
from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
from jepa_lab.config.groups import conf_dir
from jepa_lab.errors import UserError
from jepa_lab.report import outcome
from jepa_lab.studies import checked, find
from jepa_lab.studies.linear_byol import outcome as toy_outcome
from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.module import LinearBYOL
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.evaluation.loading import build_network

NUMBER = 170  # runs of either study
SEED = 7  # seed of the draws
EPOCHS = {32: 16, 64: 24, 128: 32}  # 256, 192 and 128 steps of 512 images
DIGITS: dict[str, Sequence[Any]] = {
    "target": ("ema", "stopgrad", "shared", "shared"),  # about a third of these should fail
    "model/predictor": ("mlp_small", "mlp_small", "mlp", "crate"),
    "loss": ("prediction", "prediction", "prediction", "dino", "dino_headless", "sharpened"),
    "optim.lr": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "loss.lambda_rate": (0, 0, 0, 0.003, 0.1, 1),
    "dataset.batch_size": (32, 64, 128),
    "seed": tuple(range(1000)),
}
ROUGH = {
    **DIGITS,
    "optim.lr": (3e-3, 1e-2, 3e-2),
    "loss.lambda_rate": (0,),
    "optim.clip": (1.0, "null"),
}
ROUGH_FROM = 110  # number of the first run of the digits that is drawn from ROUGH
SHORT = (
    "+experiment=seq_jepa_baseline",
    "tier=smoke",
    "hardware=cpu",
    "hardware.threads=1",
    "dataset.train_size=512",
    "dataset.val_size=200",
    "encoder.widths=[16,32]",
    "model.action_dim=16",
    "model.depth=1",
    "probes.hidden=32",
    "monitor.log_every=4",
    "monitor.gradients_every=8",
    "monitor.features_every=null",
    "monitor.sweep_anchors=0",
    "monitor.every_epochs=2",
    "preflight=off",
)
TOY: dict[str, Sequence[Any]] = {
    "enc": ("linear", "linear", "linear", "mlp"),
    "pred": ("linear", "linear", "none"),
    "enc_init": ("random", "perturbed", "pinv"),
    "stop_gradient": (True, True, False),
    "ema_m": (0, 0.9, 0.99, 0.999),
    "lr_pred": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0),
    "enc_over_pred": (0.03, 0.3, 1.0, 3.0),
    "mom_pred": (0, 0.9),
    "batch_size": (16, 64),
    "population": (False, False, True),
    "sigma_n": (0.5, 2.0),
    "seed": tuple(range(1000)),
}
SMALL = (
    "+experiment=linear_byol",
    "hardware=cpu",
    "hardware.threads=1",
    "figures=false",
    "epochs=2500",
    "log_every=100",
    "d_obs=40",
    "d_latent=8",
    "hidden=32",
    "lr_enc_mode=ratio",
)


def design(study: str, runs_dir: Path) -> Iterator[tuple[int, Config | ToyConfig]]:
    """Yields the runs of "digits" or "toy" with their numbers. A draw with contradictory settings
    is replaced by the next."""
    axes, base = (DIGITS, SHORT) if study == "digits" else (TOY, SMALL)
    random = np.random.default_rng([SEED, len(study)])
    found = 0
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        while found < NUMBER:
            rough = study == "digits" and found >= ROUGH_FROM
            drawn = {
                k: values[int(random.integers(len(values)))]
                for k, values in (ROUGH if rough else axes).items()
            }
            overrides = [*base, f"runs_dir={runs_dir}", *_overrides(study, drawn)]
            try:
                composed = compose("config", overrides)
                config = checked(composed)
            except UserError:
                continue
            yield found, config
            found += 1


def _overrides(study: str, drawn: dict[str, Any]) -> list[str]:
    if study == "digits":
        return [*_pairs(drawn), f"dataset.epochs={EPOCHS[drawn['dataset.batch_size']]}"]
    if not drawn["stop_gradient"]:
        drawn["ema_m"] = 0  # the target is the encoder itself
    if drawn["enc"] == "mlp":
        drawn["enc_init"] = "random"
    drawn["population"] = drawn["population"] and drawn["enc"] == "linear"
    return [*_pairs(drawn), f"mom_enc={drawn['mom_pred']}"]


def _pairs(drawn: dict[str, Any]) -> list[str]:
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in drawn.items()
    ]


def train_all(study: str, runs_dir: Path, shard: tuple[int, int]) -> None:
    """Trains and labels every run of this share that `results-*.jsonl` in `runs_dir` lacks. After a
    kill, the same call resumes."""
    torch.set_num_threads(1)
    for name in ("draw_figures", "draw_early_warning", "draw_sweeps"):
        setattr(outcome, name, lambda *args, **kwargs: None)
    setattr(toy_outcome, "_draw", lambda plan: [])  # noqa: B010 - no figures for 170 runs
    runs_dir.mkdir(parents=True, exist_ok=True)
    done = {row["id"] for row in read_results(runs_dir)}
    for number, config in design(study, runs_dir):
        if number % shard[1] != shard[0] or f"{study}-{number}" in done:
            continue
        begun = time.perf_counter()
        row = _digits_run(config) if isinstance(config, Config) else _toy_run(config)
        row = {
            "id": f"{study}-{number}",
            "study": study,
            "wall_s": time.perf_counter() - begun,
            **row,
        }
        with (runs_dir / f"results-{study}-{shard[0]}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_results(runs_dir: Path) -> list[dict[str, Any]]:
    """Returns the rows of all shares, sorted by study and number."""
    rows = [
        json.loads(line)
        for path in sorted(runs_dir.glob("results-*.jsonl"))
        for line in path.open()
    ]
    return sorted(rows, key=lambda r: (r["study"], int(r["id"].split("-")[1])))


def _digits_run(config: Config) -> dict[str, Any]:
    result = train(config, brief=True)
    if result.state == "stopped":
        raise SystemExit(f"stopped ({result.reason}): the same command resumes it")
    row = {"run_dir": str(result.run_dir), "config": asdict(config), "state": result.state}
    if result.state == "failed" or not _finite(result.metrics):
        return {**row, "oracle": "failed", "quantities": {}}
    if (
        result.module is None
    ):  # finished before, but not labelled: train it again, with the same result
        return _digits_run(_restarted(config))
    splits = find(config.study).planner.load(config)
    start = digits_quantities(build_network(config, splits), config, splits)
    end = digits_quantities(result.module.network.eval().requires_grad_(False), config, splits)
    return {**row, "oracle": digits_label(start, end), "quantities": _both(start, end)}


def _restarted(config: Config) -> Config:
    config.on_existing = "restart"
    return config


def _finite(metrics: dict[str, float]) -> bool:
    return all(math.isfinite(v) for k, v in metrics.items() if "/loss/" in k)


def _toy_run(config: ToyConfig) -> dict[str, Any]:
    config.on_existing = "restart"  # training takes about a second, and its weights are needed
    result = train(config, brief=True)
    assert result.module is not None
    row = {
        "run_dir": str(result.run_dir),
        "config": asdict(result.module.members[0]),
        "state": result.state,
    }
    start, end = toy_quantities(LinearBYOL(result.module.members)), toy_quantities(result.module)
    return {**row, "oracle": toy_label(start, end), "quantities": _both(start, end)}


def _both(start: dict[str, float], end: dict[str, float]) -> dict[str, float]:
    return {
        **{f"start/{k}": v for k, v in start.items()},
        **{f"end/{k}": v for k, v in end.items()},
    }
