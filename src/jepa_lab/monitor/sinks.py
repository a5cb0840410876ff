"""Where measured values go: a Parquet file, a run of W&B, a writer of TensorBoard, or any
function."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from jepa_lab.errors import say
from jepa_lab.ledger.parquet import ParquetLedger

Values = Mapping[str, float]


class Sink(Protocol):
    """Takes values of a step. `flush` is called after each measurement."""

    def write(self, step: int, values: Values) -> None: ...

    def flush(self) -> None: ...


def sink_of(given: Any) -> Sink | None:
    """Returns the sink for what a user gives: a path, an object with `add_scalar` (TensorBoard) or
    `log` (W&B), or a function of (step, values). Raises TypeError for anything else."""
    if given is None:
        return None
    if isinstance(given, str | os.PathLike):
        return ParquetSink(Path(given))
    if hasattr(given, "add_scalar"):
        return _Function(lambda step, values: _scalars(given, step, values))
    if hasattr(given, "log"):
        # the values join the row that the user's own next `log` writes, whatever its step
        return _Function(lambda step, values: given.log(dict(values), commit=False))
    if callable(given):
        return _Function(given)
    raise TypeError(
        f"sink={given!r}: expected a path, a run of W&B, a SummaryWriter, a function or None"
    )


class _Function:
    """Calls a function with every measurement. Losses between measurements are the user's own."""

    def __init__(self, call: Callable[[int, Values], Any]) -> None:
        self.call = call

    def write(self, step: int, values: Values) -> None:
        measured = {k: v for k, v in values.items() if not k.startswith("train/loss/")}
        if measured:
            self.call(step, measured)

    def flush(self) -> None:
        pass


def _scalars(writer: Any, step: int, values: Values) -> None:
    for key, value in values.items():
        writer.add_scalar(key, value, step)


class ParquetSink:
    """Writes columns step, epoch, key, value and time, which `jepa-lab diagnose FILE` reads.

    A file that is there before is kept under another name. `resume` continues it instead.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix != ".parquet":
            raise ValueError(f"sink={str(path)!r}: expected a name that ends in .parquet")
        self.path = path
        self._ledger: ParquetLedger | None = None

    def write(self, step: int, values: Values) -> None:
        self._open().append(step, 0, values)

    def flush(self) -> None:
        if self._ledger is not None:
            self._ledger.flush(force=True)

    def resume(self, step: int) -> None:
        """Continues the file after the rows up to a step."""
        self._ledger = ParquetLedger.load(self.path)
        self._ledger.truncate(step)

    def rewind(self, step: int) -> None:
        """Drops the rows after a step, of those that were written since the start."""
        if self._ledger is not None:
            self._ledger.truncate(step)

    def _open(self) -> ParquetLedger:
        if self._ledger is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                kept = _free_name(self.path)
                self.path.rename(kept)
                say(f"{self.path}: the file of an earlier run is now {kept.name}")
            self._ledger = ParquetLedger(self.path)
        return self._ledger


def _free_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    return kept
