"""Checkpoints from which a run resumes bit-identically: last.ckpt, previous.ckpt and best.ckpt."""

from __future__ import annotations

import io
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from jepa_lab.callbacks.state_ring import StateRing
from jepa_lab.errors import UserError
from jepa_lab.files.archives import open_archive, require_stored
from jepa_lab.files.limits import require_regular
from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.ledger.parquet import ParquetLedger
from jepa_lab.ranks import world_size

KEPT = "kept"  # the entry of a checkpoint without the states of training, see kept_checkpoints


class WholeFiles(TorchCheckpointIO):
    """Writes Lightning's checkpoints to a temporary file that is then renamed, and verifies them
    when they are read. Raises OSError if the disk is full, and UserError for a damaged file."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, *args: Any, **options: Any) -> dict[str, Any]:
        try:
            return read_checkpoint(Path(path))
        except ValueError as error:
            raise UserError(f"{path}: damaged since it was checked ({error})") from error


class Saver(Checkpoint):
    """Writes `last.ckpt` after every validation, and every `every_s` seconds in between.

    `previous.ckpt` is the last.ckpt before that. `best.ckpt` has the highest value of `monitor`.
    Every file is written completely or not at all.

    It never saves on the last batch of an epoch: a validation may follow, which a run resumed from
    there would skip. It never saves between the batches of one accumulated step: checkpoints do not
    contain pending gradients. The checkpoint holds the id of the run and its time so far. With
    `ledger` it also holds the number of metric rows that belong to it.

    `measured` is the number of validations that had a value of `monitor`, in all sessions of the
    run. None if a checkpoint of an earlier version did not count them. Every last.ckpt is
    added to `ring`, whose states are pinned at the first validation at which `failing` returns
    true.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str,
        ledger: ParquetLedger | None = None,
        every_s: float = 60.0,
        run_id: str = "",
        ring: StateRing | None = None,
        failing: Callable[[], bool] = lambda: False,
    ) -> None:
        self.folder = folder
        self.monitor = monitor
        self.ledger = ledger
        self.every_s = every_s
        self.run_id = run_id
        self.ring = ring
        self.failing = failing
        self.best: float | None = None
        self.best_step = -1
        self.measured: int | None = 0
        self.asked: bool | None = None  # the decision of all processes, if there are several
        self._earlier_s = 0.0
        self._started_at = self._saved_at = time.monotonic()
        self._saved_step = self._last_step = -1
        self._stepped = False

    @property
    def wall_s(self) -> float:
        """Seconds that the run has taken, including the sessions before the last checkpoint."""
        return self._earlier_s + time.monotonic() - self._started_at

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        self._stepped = trainer.global_step != self._last_step
        self._last_step = trainer.global_step
        if (self.is_due() if self.asked is None else self.asked) and self.may_save(trainer):
            self.save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        value = trainer.callback_metrics.get(self.monitor)
        better = value is not None and _is_better(float(value), self.best)
        if value is not None and self.measured is not None:
            self.measured += 1
        if better:
            self.best, self.best_step = float(value), trainer.global_step  # type: ignore[arg-type]
        self.save(trainer, best=better)
        if self.ring is not None and self.failing():
            self.ring.pin()

    def is_due(self) -> bool:
        """Whether `every_s` seconds have passed since the last checkpoint."""
        return time.monotonic() - self._saved_at >= self.every_s

    def may_save(self, trainer: pl.Trainer) -> bool:
        """Whether a run resumed from here would be bit-identical. Call it at the end of a training
        batch."""
        return self._stepped and not trainer.is_last_batch and not trainer.should_stop

    def save(self, trainer: pl.Trainer, best: bool = False) -> None:
        """Writes last.ckpt unless it already belongs to this step, and keeps the preceding one as
        previous.ckpt. With `best` it also writes best.ckpt.

        All processes of a run must call it, since the checkpoint holds the random streams of each.
        The first one writes it."""
        last, new = self.folder / "last.ckpt", self.folder / "next.ckpt"
        if self._saved_step == trainer.global_step and not trainer.validating:
            return
        if not trainer.is_global_zero:
            trainer.save_checkpoint(new)
            self._saved_step = trainer.global_step
            return
        try:
            trainer.save_checkpoint(new)
            if best:  # before last.ckpt, whose state refers to best.ckpt
                write_atomic(self.folder / "best.ckpt", new.read_bytes())
        except OSError:
            new.unlink(missing_ok=True)
            raise
        if last.exists():
            os.replace(last, self.folder / "previous.ckpt")
        os.replace(new, last)
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
        if self.ring is not None:
            self.ring.add(trainer.global_step, last)

    def state_dict(self) -> dict[str, Any]:
        rows = self.ledger.state_dict() if self.ledger is not None else {}
        best = {"best": self.best, "best_step": self.best_step, "measured": self.measured}
        if world_size() > 1:
            best["processes"] = world_size()
        return {**best, "ledger": rows, "run_id": self.run_id, "wall_s": self.wall_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]
        self.measured = state_dict.get("measured")
        self._earlier_s = state_dict["wall_s"]
        if self.ledger is not None and state_dict["ledger"]:
            self.ledger.load_state_dict(state_dict["ledger"])


def _is_better(value: float, best: float | None) -> bool:
    """Returns whether the value is higher than the best so far. Any number is better than NaN."""
    return best is None or value > best or (math.isnan(best) and not math.isnan(value))


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes a checkpoint completely or not at all, with checksums even if torch is set to write
    none. Raises OSError if the disk is full."""
    buffer, before = io.BytesIO(), torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(True)
    try:
        torch.save(content, buffer)
    finally:
        torch.serialization.set_crc32_options(before)
    write_atomic(path, buffer.getbuffer())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Returns the content of a checkpoint on the CPU. All checksums are verified, and no code in
    the file is executed. Raises ValueError with a short reason for a damaged file."""
    try:
        require_regular(path)
        with open_archive(path) as archive:
            # torch.save stores every part as it is, so that nothing can unpack to more
            if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
                raise ValueError("its parts are compressed or overlap")
            require_stored(archive)
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a broken file
        raise ValueError(str(error).split("\n", 1)[0][:80] or type(error).__name__) from error
    return content


def latest_checkpoint(
    folder: Path, belongs: Callable[[dict[str, Any]], bool]
) -> tuple[Path | None, dict[str, Any], list[str]]:
    """Returns (path, content, messages) of the newest usable checkpoint. It is last.ckpt, or
    previous.ckpt if last.ckpt is missing, damaged or rejected by `belongs`. If neither is usable,
    the result is (None, {}, messages). Each message describes the damage of one file."""
    damaged: list[str] = []
    for name in ("last", "previous"):
        path = folder / f"{name}.ckpt"
        if not path.is_file():
            continue
        try:
            content = read_checkpoint(path)
            if belongs(content):
                return path, content, damaged
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            damaged.append(f"{name}.ckpt is damaged ({error})")
    return None, {}, damaged


class Usable(NamedTuple):
    """A checkpoint of a run: its path, the states of its ledger and its Saver, its step, and a
    warning if it is not the last one. A run resumes from it if it is `whole`. Otherwise it holds
    the weights of a completed run."""

    path: Path
    ledger: dict[str, Any]
    saver: dict[str, Any]
    step: int
    warning: str | None
    whole: bool = True


def usable_checkpoint(
    folder: Path, run_id: str, require_fit: Callable[[dict[str, Any]], None]
) -> Usable:
    """Returns last.ckpt, or previous.ckpt with a warning if last.ckpt is missing, damaged or
    rejected by `require_fit`, which raises ValueError. Raises UserError if neither can be used, or
    if the checkpoint belongs to another configuration."""

    def belongs(state: dict[str, Any]) -> bool:
        other_id = state["callbacks"]["Saver"]["run_id"]
        if other_id != run_id:
            raise UserError(
                f"{folder}: a checkpoint of another configuration (run {other_id});"
                " on_existing=restart"
            )
        require_fit(state)
        return True

    path, content, damaged = latest_checkpoint(folder, belongs)
    if path is None:
        raise UserError(f"{folder}: {' and '.join(damaged)}; on_existing=restart begins anew")
    warning = f"{damaged[0] if damaged else 'last.ckpt is missing'}; resuming from previous.ckpt"
    return Usable(
        path,
        content["callbacks"]["Saver"]["ledger"],
        content["callbacks"]["Saver"],
        content["global_step"],
        None if path.name == "last.ckpt" else warning,
        whole=KEPT not in content,
    )
