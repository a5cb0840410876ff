"""Simulated runs with a known cause of failure: histories computed from the configuration, and a
trainer that writes them as ordinary run folders.

A world decides from the configuration what goes wrong. It does not depend on the procedure of an
investigation.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from jepa_lab.config.tree import value_of
from jepa_lab.ledger.command_line import CommandLine, write_command_line
from jepa_lab.ledger.identity import run_id
from jepa_lab.ledger.parquet import ParquetLedger
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.ledger.summary import write_summary
from jepa_lab.process.stop import StopRequest
from jepa_lab.studies.arc.investigation.overrides import LOSSES, overridden
from jepa_lab.studies.arc.investigation.runs import Ended

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


World = Callable[[Config], Symptoms]


def get(config: Config, key: str) -> Any:
    return value_of(config, key)


def on(config: Config) -> bool:
    return bool(get(config, "vq.enabled"))


def weight(config: Config, name: str) -> bool:
    return any(get(config, key) for key in LOSSES[name])


def only_refresh(config: Config) -> Symptoms:
    bad = (
        on(config)
        and get(config, "vq.refresh.enabled")
        and get(config, "vq.refresh.rule") == "legacy_share"
    )
    return Symptoms(spikes=bad, codebook="dead" if bad else "ok", collapse=bad)


def initialisation(config: Config) -> Symptoms:
    """The codes die because of their initialisation. The refresh turns that into spikes and a
    collapse."""
    dying = on(config) and get(config, "vq.init") == "empty" and get(config, "vq.kind") == "hard"
    stirred = bool(dying and get(config, "vq.refresh.enabled"))
    return Symptoms(
        spikes=stirred,
        collapse=stirred,
        codebook=("dead" if stirred else "slow") if dying else "ok",
    )


def two_defects(config: Config) -> Symptoms:
    """Initialisation and update are each enough to kill the codebook."""
    init, update = get(config, "vq.init") == "empty", get(config, "vq.update") == "forward"
    return Symptoms(
        codebook="slow"
        if on(config) and (init or update) and get(config, "vq.kind") == "hard"
        else "ok"
    )


def learned_codes(config: Config) -> Symptoms:
    return Symptoms(codebook="dead" if on(config) and get(config, "vq.kind") != "fsq" else "ok")


def a_loss(name: str) -> World:
    def world(config: Config) -> Symptoms:
        return Symptoms(exploding=name) if weight(config, name) else Symptoms()

    return world


def two_losses_together(config: Config) -> Symptoms:
    both = weight(config, "color") and weight(config, "relational")
    return Symptoms(spikes=both)


def temperature(config: Config) -> Symptoms:
    narrow = get(config, "loss.temperature.max") < 0.2
    return Symptoms(spikes=narrow, clamped=narrow)


def target(config: Config) -> Symptoms:
    return Symptoms(spikes=get(config, "target.name") != "shared")


def context(config: Config) -> Symptoms:
    return Symptoms(collapse=get(config, "model.context") not in ("attention", "gru"))


def learning_rate(config: Config) -> Symptoms:
    return Symptoms(nan=get(config, "optim.lr") > 5e-4)


def unpredictable(config: Config) -> Symptoms:
    return Symptoms(learns=False, codebook="slow" if on(config) else "ok")


def ill_posed(config: Config) -> Symptoms:
    return Symptoms(learns=get(config, "dataset.problem") != "copies")


def hopeless(config: Config) -> Symptoms:
    return Symptoms(spikes=True)


def hopeless_codebook(config: Config) -> Symptoms:
    return Symptoms(codebook="dead") if on(config) else Symptoms()


def healthy(config: Config) -> Symptoms:
    return Symptoms()


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


@dataclass
class Trainer:
    """Replaces `ordinary_run`: checks nothing, and writes the runs that the world defines.

    `seeds` maps single seeds to their own worlds. `refuses` maps names of steps to the exceptions
    that they raise. `asked` lists the names of the runs that were made.
    """

    world: World
    seeds: Mapping[int, World] = field(default_factory=dict)
    refuses: Mapping[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    interrupt_at: str = ""

    def __call__(
        self, config: dict[str, Any], stop: StopRequest, may_train: Callable[[], None]
    ) -> Ended:
        assert config["on_existing"] == "resume"
        assert config["preflight"] != "strict"
        named = {
            key: value for key, value in config.items() if key not in ("runs_dir", "max_wall_s")
        }
        run = RunDir(config["runs_dir"], config["name"], run_id(named, ""))
        if run.state() in ("completed", "failed"):
            return Ended(run.path, run.state(), reused=True)
        may_train()
        step = config["name"].removeprefix(f"{PUBLISHED['name']}_")
        if step in self.refuses:
            raise self.refuses[step]
        if step == self.interrupt_at:
            self.interrupt_at = ""
            run.create(yaml.safe_dump(config)).write_status("stopped", "SIGINT received")
            stop.signal = "SIGINT"
            return Ended(run.path, "stopped", "SIGINT received")
        self.asked.append(step)
        return self.write(run, config)

    def write(self, run: RunDir, config: dict[str, Any]) -> Ended:
        world = self.seeds.get(config["seed"], self.world)
        symptoms = world(config)
        run.create(yaml.safe_dump(config, sort_keys=False))
        history = curves(config, symptoms, config["seed"])
        ledger = ParquetLedger(run.metrics_path)
        for key, points in history.items():
            for step, value in points:
                ledger.append(step, 0, {key: value})
        ledger.fold()
        write_summary(run, history, {"status": "unknown"}, {"key": "val/skill"}, {}, 1.0)
        state = "failed" if symptoms.nan else "completed"
        run.write_status(state, "prediction is not finite" if symptoms.nan else None)
        return Ended(run.path, state)


def failing_run(runs: Path, trainer: Trainer, **overrides: Any) -> Path:
    """Writes the run that is investigated under runs/<name>/ and returns its folder. Keys of
    `overrides` have __ for a dot."""
    config = overridden(
        copy.deepcopy(PUBLISHED), {k.replace("__", "."): v for k, v in overrides.items()}
    )
    config["runs_dir"] = str(runs)
    folder = trainer.write(RunDir(runs, config["name"], "abcdef0123"), config).path
    write_command_line(folder, CommandLine(("+experiment=arc_sixth_run", "vq.size=64")))
    return folder
