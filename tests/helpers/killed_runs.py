"""Runs in a separate process that is killed at a random moment, or kills itself at a named point.

The processes are forked from a server that has imported torch and Lightning but computed nothing,
so that a start takes a moment instead of seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

OVERRIDES = [
    "optim.accumulate=2",
    "monitor.save_every_s=0",
    "loss.lambda_rate=0.003",
    "model.dropout=0.2",
    "dataset.epochs=3",
    "dataset.train_size=320",
    "target.memory=0.3",
    "monitor.log_every=1",
    "keep=all",  # the whole state is compared
]
POINTS = [
    "the reference pass",
    "a training batch",
    "between the optimiser step and the target's average",
    "a validation",
    "half a checkpoint written",
    "between the two renames of a checkpoint",
    "best.ckpt",
    "a write of the metrics",
    "the test pass",
    "the figures",
    "the summary",
]


def start(
    folder: Path, overrides: list[str], point: str | None = None, nth: int = 1
) -> BaseProcess:
    """Starts a process that trains seq_jepa_baseline in `folder`. At the nth visit of `point` it
    kills itself with SIGKILL."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["jepa_lab.studies.seq_jepa.study", "conftest"])
    process = context.Process(target=_train, args=(str(folder), overrides, point, nth))
    process.start()
    return process


def start_command(folder: Path, overrides: list[str], group: bool = False) -> BaseProcess:
    """Starts a process that runs `python -m jepa_lab overrides` in `folder`, with `group` as the
    leader of its own process group."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["jepa_lab.studies.seq_jepa.study", "conftest"])
    process = context.Process(target=_command, args=(str(folder), overrides, group))
    process.start()
    return process


def finish(folder: Path, overrides: list[str]) -> Path:
    """Trains to the end without a kill, and returns the run's folder."""
    process = start(folder, overrides)
    process.join()
    assert process.exitcode == 0
    (config,) = folder.glob("runs/seq_jepa_baseline/*/config.yaml")
    return config.parent


def state_of(run: Path) -> dict[str, Any]:
    """Returns everything that must agree to the bit: the last checkpoint without wall-clock times,
    the best checkpoint's weights, and the ledger's rows."""
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    state["callbacks"]["Saver"].pop("wall_s")
    state["callbacks"]["Saver"]["ledger"].pop("time")
    state["callbacks"]["SeqJEPAMonitor"].pop("seconds")
    # counts the passes of this process outside training; nothing reads it
    state["loops"].pop("validate_loop")
    table = pq.read_table(run / "metrics.parquet").to_pydict()
    rows = zip(table["step"], table["epoch"], table["key"], table["value"], strict=True)
    kept = [(s, e, k, repr(v)) for s, e, k, v in rows if not k.startswith("monitor/")]
    return {"checkpoint": state, "best": best, "rows": kept}


def difference(a: Any, b: Any, where: str = "") -> str | None:
    """Returns the place where two nested states differ in a bit, or None."""
    if isinstance(a, torch.Tensor):
        return None if isinstance(b, torch.Tensor) and torch.equal(a, b) else where
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return f"{where}: {a.keys() ^ b.keys()}"
        found = (difference(a[k], b[k], f"{where}/{k}") for k in a)
        return next((f for f in found if f), None)
    if isinstance(a, (list, tuple)):
        if len(a) != len(b):
            return f"{where}: {len(a)} and {len(b)} entries"
        found = (
            difference(x, y, f"{where}[{i}]") for i, (x, y) in enumerate(zip(a, b, strict=True))
        )
        return next((f for f in found if f), None)
    return None if a == b else f"{where}: {a!r} and {b!r}"


def _command(folder: str, overrides: list[str], group: bool) -> None:
    import sys

    from jepa_lab.cli import app as cli

    if group:
        os.setpgid(0, 0)
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    _silence()
    sys.argv = ["jepa_lab"]
    cli.main(overrides)


def _silence() -> None:
    """Suppresses output and figures, which take most of a tiny run's time."""
    from jepa_lab.report import outcome

    outcome.draw_figures = lambda *args, **kwargs: None  # type: ignore[assignment]
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)


def _train(folder: str, overrides: list[str], point: str | None, nth: int) -> None:
    import conftest
    from jepa_lab.studies.run import train

    if point is not None:
        _kill_at(point, nth)
    _silence()
    train(conftest.maker(Path(folder))(*overrides, experiment="seq_jepa_baseline"))


def _kill_at(point: str, nth: int) -> None:
    from jepa_lab.callbacks import checkpoints, probes, target_ema
    from jepa_lab.ledger import atomic, tables
    from jepa_lab.studies.seq_jepa import module as seq_jepa
    from jepa_lab.training import trained_study

    visits = 0

    def die() -> None:
        nonlocal visits
        visits += 1
        if visits >= nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(owner: Any, name: str, when: Callable[..., bool] = lambda *a: True) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if when(*args):
                die()
            return original(*args, **kwargs)

        setattr(owner, name, wrapped)

    def in_pass(prefix: str) -> Callable[..., bool]:
        return lambda callback, trainer, module, *a: module.eval_prefix == prefix

    def half_written(path: Path, content: Any) -> None:
        if str(path).endswith("next.ckpt"):
            with open(atomic.temporary_beside(Path(path)), "wb") as file:
                file.write(bytes(content)[: len(content) // 2])
            die()
        whole(path, content)

    whole = checkpoints.write_atomic
    if point == "half a checkpoint written":
        checkpoints.write_atomic = half_written  # type: ignore[assignment]
    passes = {"the reference pass": "reference", "a validation": "val", "the test pass": "test"}
    if point in passes:
        before(probes.OnlineProbes, "on_validation_batch_end", in_pass(passes[point]))
    elif point == "a training batch":
        before(seq_jepa.SeqJEPA, "training_step")
    elif point == "between the optimiser step and the target's average":
        before(target_ema, "ema_update")
    elif point == "between the two renames of a checkpoint":
        before(os, "replace", lambda source, target: str(source).endswith("next.ckpt"))
    elif point == "best.ckpt":
        before(os, "replace", lambda source, target: str(target).endswith("best.ckpt"))
    elif point == "a write of the metrics":
        before(tables, "replace_file")
    elif point == "the figures":
        before(trained_study, "show")
    elif point == "the summary":
        before(trained_study, "write_summary")
