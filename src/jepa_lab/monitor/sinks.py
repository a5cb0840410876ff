"""Where measured values go: a Parquet file, a run of W&B, a writer of TensorBoard, or any
function."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from jepa_lab.errors import UserError, say
from jepa_lab.ledger.parquet import ParquetLedger

Values = Mapping[str, float]


class Sink:
    """Takes values of a step. The base class takes them to nowhere."""

    def write(self, step: int, values: Values) -> None:
        """Takes the values of a step."""

    def flush(self) -> None:
        """Writes what was taken."""

    def state(self) -> Any:
        """Returns what a checkpoint has to keep, after writing."""
        self.flush()

    def resume(self, state: Any) -> None:
        """Continues after a checkpoint."""

    def rewind(self, step: int) -> None:
        """Drops the values after a step, of those since the start."""


def guarded(given: Any) -> Sink:
    """Returns `sink_of` in a frame: an error while it writes gets one line, and no training ends
    for it."""
    inner = sink_of(given)
    return inner if type(inner) is Sink else Guarded(inner)


def sink_of(given: Any) -> Sink:
    """Returns the sink for what a user gives: a path, an object with `add_scalar` (TensorBoard) or
    W&B's `log`, or a function of (step, values). Raises TypeError for anything else, ValueError for
    a path that cannot be written."""
    if given is None:
        return Sink()
    if isinstance(given, str | os.PathLike):
        return ParquetSink(Path(given))
    if hasattr(given, "add_scalar"):
        return Function(lambda step, values: _scalars(given, step, values))
    if hasattr(given, "log"):
        if "commit" not in inspect.signature(given.log).parameters:
            raise TypeError(
                f"sink={type(given).__name__}: its log is not that of a W&B run; pass the run, or"
                " a function of (step, values)"
            )
        # in a row of its own, since a row that waits would lose earlier values of the same keys
        return Function(
            lambda step, values: given.log({**values, "monitor/step": step}, commit=True)
        )
    if callable(given):
        return Function(given)
    raise TypeError(
        f"sink={given!r}: expected a path, a run of W&B, a SummaryWriter, a function or None"
    )


class Guarded(Sink):
    """Passes on until something fails, and then says so once."""

    def __init__(self, inner: Sink) -> None:
        self.inner = inner
        self.failed = False

    def write(self, step: int, values: Values) -> None:
        self._try(lambda: self.inner.write(step, values))

    def flush(self) -> None:
        self._try(self.inner.flush)

    def state(self) -> Any:
        return self._try(self.inner.state)

    def resume(self, state: Any) -> None:
        self._try(lambda: self.inner.resume(state))

    def rewind(self, step: int) -> None:
        self._try(lambda: self.inner.rewind(step))

    def _try(self, action: Callable[[], Any]) -> Any:
        if self.failed:
            return None
        try:
            return action()
        except Exception as error:  # whatever a user's function or a full disk raises
            self.failed = True
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            say(f"Monitor: the sink failed and gets no more values ({reason})")
            return None


class Function(Sink):
    """Calls a function with every measurement. Losses between measurements are the user's own."""

    def __init__(self, call: Callable[[int, Values], Any]) -> None:
        self.call = call

    def write(self, step: int, values: Values) -> None:
        measured = {k: v for k, v in values.items() if not k.startswith("train/loss/")}
        if measured:
            self.call(step, measured)


def _scalars(writer: Any, step: int, values: Values) -> None:
    for key, value in values.items():
        writer.add_scalar(key, value, step)


class ParquetSink(Sink):
    """Writes columns step, epoch, key, value and time, which `jepa-lab diagnose FILE` reads.

    A file of an earlier run is kept under another name. If another monitor writes to the file, this
    one takes another name.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix != ".parquet":
            raise ValueError(f"sink={str(path)!r}: expected a name that ends in .parquet")
        if path.is_dir():
            raise ValueError(f"sink={str(path)!r}: a folder of that name exists")
        existing = next((p for p in path.absolute().parents if p.exists()), path.absolute().parent)
        if not (existing.is_dir() and os.access(existing, os.W_OK)):
            raise ValueError(f"sink={str(path)!r}: {existing} cannot be written to")
        self.path = path
        self._ledger: ParquetLedger | None = None
        self._lock: FileLock | None = None

    def write(self, step: int, values: Values) -> None:
        self._open().append(step, 0, values)

    def flush(self) -> None:
        if self._ledger is not None:
            self._ledger.flush(force=True)

    def state(self) -> Any:
        return None if self._ledger is None else self._ledger.state_dict()

    def resume(self, state: Any) -> None:
        """Continues the file of the checkpoint. A file of another run is kept, see the class."""
        self._ledger = None
        if state is None or not self.path.exists() or not self._is_free():
            return
        try:
            ledger = ParquetLedger.load(self.path)
            ledger.load_state_dict(state)
        except UserError:
            say(f"{self.path}: not the file of the checkpoint, or damaged; it is kept beside")
        else:
            self._ledger = ledger

    def rewind(self, step: int) -> None:
        if self._ledger is not None:
            self._ledger.truncate(step)

    def _open(self) -> ParquetLedger:
        if self._ledger is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._is_free():
                taken, self.path = self.path, _free_name(self.path)
                say(f"{taken}: another monitor writes to it; this one writes to {self.path.name}")
                self._is_free()
            elif self.path.exists():
                kept = _free_name(self.path)
                self.path.rename(kept)
                say(f"{self.path}: the file of an earlier run is now {kept.name}")
            self._ledger = ParquetLedger(self.path)
        return self._ledger

    def _is_free(self) -> bool:
        """Takes the lock of the file until this process ends. Returns whether it was free."""
        if self._lock is not None and self._lock.is_locked:
            return True
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True


def _free_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    return kept
