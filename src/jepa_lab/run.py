"""train(config) -> RunResult: the one place where a run is put together, watched, and brought to its verdict."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml

from jepa_lab import RESULTS_VERSION
from jepa_lab.build import (
    Budget,
    best_key,
    build_budget,
    build_callbacks,
    build_data,
    build_loaders,
    build_module,
    build_views,
    target_tau,
)
from jepa_lab.callbacks import CollapseMonitor, TrainingLog
from jepa_lab.config import Config, to_yaml
from jepa_lab.data.images import Splits
from jepa_lab.data.loader import EpochLoader
from jepa_lab.diagnosis import judge
from jepa_lab.errors import UserError
from jepa_lab.ledger import ParquetLedger, RunDir, run_id, write_summary
from jepa_lab.modules.seq_jepa import SeqJEPA
from jepa_lab.report.outcome import show_outcome
from jepa_lab.report.table import print_table, table_rows
from jepa_lab.trainer import build_trainer, quiet


@dataclass
class RunResult:
    """How a run ended. metrics: the last value of every key; monitored: the metric that chooses checkpoints."""

    run_dir: Path
    state: str
    metrics: dict[str, float]
    verdict: dict[str, Any]
    monitored: float | None = None
    module: SeqJEPA | None = field(default=None, repr=False)


def train(config: Config) -> RunResult:
    """Runs one configuration to its end, or goes on with it, or reports it if it is finished.

    Raises UserError for data that cannot be used; any other exception leaves status.json in state "failed", an
    interruption in state "stopped".
    """
    quiet()
    torch.set_num_threads(config.hardware.threads or 1)
    if config.hardware.accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError("hardware.accelerator=gpu: no accelerator is visible to torch; use hardware=auto or cpu")
    splits = build_data(config)
    run = RunDir(config.runs_dir, config.name, identity(config, splits))
    resume = decide(run, config.on_existing)
    if resume == "skip":
        return finished(run)
    parts = prepare(config, splits)
    run.create(resolved_yaml(config, splits))
    ledger = ParquetLedger.load(run.metrics_path) if resume == "resume" else ParquetLedger(run.metrics_path)
    log = logging.FileHandler(run.path / "run.log")
    logging.getLogger("jepa_lab").addHandler(log)
    run.write_status("running")
    try:
        result = _train(config, splits, parts, run, ledger, resume == "resume")
    except KeyboardInterrupt:
        _close(run, ledger, "stopped", "interrupted")
        raise
    except SystemExit as error:
        _close(run, ledger, "stopped", f"{type(error).__name__}")
        raise
    except Exception as error:
        _close(run, ledger, "failed", f"{type(error).__name__}: {error}")
        raise
    finally:
        logging.getLogger("jepa_lab").removeHandler(log)
        log.close()
    return result


@dataclass(frozen=True)
class Parts:
    """What is built before anything is written, so that a configuration that cannot be built leaves nothing behind."""

    loaders: dict[str, EpochLoader]
    budget: Budget
    module: SeqJEPA


def prepare(config: Config, splits: Splits) -> Parts:
    """Seeds every random stream, then builds. Raises UserError for sizes that do not fit or a missing extra."""
    if config.logger.name == "tensorboard" and find_spec("tensorboard") is None:
        raise UserError("logger=tensorboard: the package is not installed; pip install 'jepa-lab[tensorboard]'")
    pl.seed_everything(config.seed, verbose=False)
    loaders = build_loaders(config, splits)
    budget = build_budget(config, len(loaders["train"]))
    module = build_module(config, build_views(config, splits.train), splits.train, budget.steps)
    return Parts(loaders, budget, module)


def _train(config: Config, splits: Splits, parts: Parts, run: RunDir, ledger: ParquetLedger, resume: bool) -> RunResult:
    start = time.monotonic()
    loaders, budget, module = parts.loaders, parts.budget, parts.module
    n_classes = splits.train.n_classes
    callbacks = build_callbacks(config, budget, run, ledger, n_classes)
    trainer = build_trainer(config, budget, run, ledger, callbacks)
    checkpoint = run.checkpoints / "last.ckpt" if resume else None
    if n_classes == 0 and checkpoint is None:
        print("no labels: class probes are off", file=sys.stderr)
    if checkpoint is None:
        _evaluate(trainer, module, loaders["val"], "reference")
    module.eval_prefix = "val"
    trainer.fit(
        module, loaders["train"], loaders["val"], ckpt_path=checkpoint, weights_only=True if checkpoint else None
    )
    failure = next(c.failure for c in callbacks if isinstance(c, TrainingLog))
    if failure is None:
        _evaluate(trainer, module, loaders["test"], "test")
    cost = measured_cost(callbacks)
    wall = time.monotonic() - start
    history = ledger.history()
    verdict = judge(history)
    key = best_key(config, n_classes)
    ledger.flush(force=True)
    write_summary(
        run,
        history,
        verdict.to_dict(),
        monitor={"key": key, "seconds": cost, "share": cost / max(wall, 1e-9)},
        parameters=count_parameters(module),
        wall_s=wall,
        extra={"protocol": protocol(config, splits), "tau": _tau(config, budget)},
    )
    state = "failed" if failure else "completed"
    _close(run, ledger, state, failure)
    show_outcome(run, config, history, verdict, group=module.group, source=splits.val)
    last = {k: v[-1][1] for k, v in history.items()}
    return RunResult(run.path, state, last, verdict.to_dict(), last.get(key), module)


def finished(run: RunDir) -> RunResult:
    """The result of a completed run, from its summary; nothing is computed again."""
    summary = json.loads(run.summary_path.read_text(encoding="utf-8"))
    last = {k: v["last"] for k, v in summary["metrics"].items() if v["last"] is not None}
    verdict = summary["verdict"]
    print_table(table_rows(summary))
    print(
        f"\nfinished before, nothing to do: {run.path}\nverdict: {verdict.get('line', verdict.get('status'))}",
        flush=True,
    )
    return RunResult(run.path, "skipped", last, verdict, last.get(summary["monitor"]["key"]))


def identity(config: Config, splits: Splits) -> str:
    """The run's id: resolved configuration, the data's bytes, and the version of the results."""
    prints = [s.fingerprint() for s in (splits.train, splits.val, splits.test)]
    settings = yaml.safe_load(to_yaml(config))
    for key in ("tiers", "root", "path"):  # the budget is resolved, and the images are known by their bytes
        settings["dataset"].pop(key)
    return run_id(settings, "-".join(prints))


def decide(run: RunDir, on_existing: str) -> str:
    """new, resume or skip, from what the run's folder says. Raises UserError for on_existing=error."""
    status = run.status()
    if status is None:
        return "new"
    if on_existing == "error":
        raise UserError(f"{run.path}: this run exists ({status.get('state')}); on_existing=resume or restart goes on")
    version = (status.get("versions") or {}).get("results_version")
    if version not in (None, RESULTS_VERSION):
        raise UserError(
            f"{run.path}: made by results version {version}, this is {RESULTS_VERSION}; on_existing=restart"
        )
    if on_existing == "restart":
        shutil.rmtree(run.path)
        return "new"
    if status.get("state") == "completed" and run.summary_path.is_file():
        return "skip"
    return "resume" if (run.checkpoints / "last.ckpt").is_file() else "new"


def resolved_yaml(config: Config, splits: Splits) -> str:
    """config.yaml: every value of the run, those that were derived included."""
    batches = len(splits.train.images) // config.dataset.batch_size
    data = yaml.safe_load(to_yaml(config))
    if config.target.name == "ema":
        data["target"]["tau"] = target_tau(config, build_budget(config, batches).steps)
    data["monitor"]["best"] = best_key(config, splits.train.n_classes)
    data["monitor"]["every_epochs"] = build_budget(config, batches).validate_every
    return yaml.safe_dump(data, sort_keys=False)


def measured_cost(callbacks: list[Any]) -> float:
    """Seconds that the collapse monitor took beyond the evaluation passes it read."""
    return next(c.seconds for c in callbacks if isinstance(c, CollapseMonitor))


def protocol(config: Config, splits: Splits) -> dict[str, Any]:
    """What the figures of this run stand on."""
    return {
        "train_images": len(splits.train.images),
        "val_images": len(splits.val.images),
        "test_images": len(splits.test.images),
        "checkpoint": "last",
        "probes": "online: one step per training batch on detached features, fixed evaluation views",
        "seed": config.seed,
    }


def count_parameters(module: torch.nn.Module) -> dict[str, int]:
    """Trainable and frozen parameters."""
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    return {"trainable": trainable, "frozen": sum(p.numel() for p in module.parameters()) - trainable}


def _evaluate(trainer: pl.Trainer, module: SeqJEPA, loader: EpochLoader, prefix: str) -> None:
    module.eval_prefix = prefix
    trainer.validate(module, loader, verbose=False)


def _tau(config: Config, budget: Budget) -> float | None:
    return target_tau(config, budget.steps) if config.target.name == "ema" else None


def _close(run: RunDir, ledger: ParquetLedger, state: str, reason: str | None) -> None:
    ledger.flush(force=True)
    run.write_status(state, reason)
