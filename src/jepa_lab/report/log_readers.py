"""Reads the logs of other code: ledgers, tables, W&B and TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from jepa_lab.errors import UserError
from jepa_lab.files.columns import TABLES, column_names, read_frame
from jepa_lab.files.extras import import_extra
from jepa_lab.files.records import event_records, wandb_records
from jepa_lab.files.text import parse_json
from jepa_lab.ledger.parquet import History, history_of
from jepa_lab.ledger.segments import SCHEMA
from jepa_lab.report.log_tables import (
    history_of_rows,
    history_of_table,
    in_order,
    is_export,
    is_log,
    is_long,
    step_column,
)

LEDGER = "ledger"  # the kind of a log with a row for each value
EVENTS = ".tfevents."
WANDB = ".wandb"


@dataclass(frozen=True)
class Log:
    """The metrics in a log: (step, value) pairs by name, in the order of their steps."""

    path: Path
    kind: str
    history: History


def is_log_file(path: Path) -> bool:
    """Returns whether a file is a log by its name, whatever it holds."""
    return path.suffix == WANDB or EVENTS in path.name


def read_log(paths: Sequence[Path]) -> Log | None:
    """Returns the metrics in a log, or None for another file, such as a table of features. Several
    files are the parts of one log of TensorBoard.

    Raises UserError, which names the file, for a log that cannot be read.
    """
    path = paths[0]
    names = [] if is_log_file(path) else _names(path)
    if path.suffix == ".parquet" and set(names) >= set(SCHEMA.names):
        return Log(path, LEDGER, in_order(history_of(path)))
    if not is_log_file(path) and step_column(names) is None:
        return None
    try:
        if path.suffix == WANDB:
            history = history_of_rows(_wandb_rows(path))
            return Log(path, "W&B", dict(sorted(history.items())))  # W&B keeps no order of names
        if EVENTS in path.name:
            rows = (row for part in paths for row in _event_rows(part))
            return Log(
                path if len(paths) == 1 else path.parent, "TensorBoard", history_of_rows(rows)
            )
        table = read_frame(path)
        kind = LEDGER if is_long(table) else "W&B" if is_export(table) else "table"
        return Log(path, kind, history_of_table(table)) if is_log(table) else None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a readable log ({reason})") from None


def _names(path: Path) -> list[str]:
    """Returns the names of the columns of a table, [] for another file, also a damaged one."""
    try:
        return column_names(path) if path.suffix.lower() in TABLES else []
    except (OSError, ValueError, pa.ArrowException):
        return []


def _wandb_rows(path: Path) -> Iterator[dict[str, float]]:
    """Yields what was logged together in a run-*.wandb file."""
    proto = import_module("wandb.proto.wandb_internal_pb2")  # here, since it takes a second
    for data in wandb_records(path):
        record = _parsed(proto.Record, data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            row = {i.key or "/".join(i.nested_key): parse_json(i.value_json) for i in items}
            numbers = {n: float(v) for n, v in row.items() if isinstance(v, int | float)}
            yield {"_step": float(record.history.step.num), **numbers}


def _event_rows(path: Path) -> Iterator[dict[str, float]]:
    """Yields the scalars of an event file, each with its step."""
    events = import_extra("tensorboard.compat.proto.event_pb2", "tensorboard")
    sums = import_extra("tensorboard.compat.tensorflow_stub.pywrap_tensorflow", "tensorboard")
    arrays = import_extra("tensorboard.util.tensor_util", "tensorboard")
    for data in event_records(path, sums.masked_crc32c):
        event = _parsed(events.Event, data)
        for value in event.summary.value:
            number = _scalar(value, arrays)
            if number is not None:
                yield {"step": float(event.step), value.tag: number}


def _parsed(kind: Any, data: bytes) -> Any:
    """Returns a message of protobuf. Raises ValueError for other bytes."""
    try:
        return kind.FromString(data)
    except Exception as error:  # its type depends on the version of protobuf
        raise ValueError((str(error).splitlines() or [type(error).__name__])[0]) from None


def _scalar(value: Any, arrays: Any) -> float | None:
    """Returns the number in a summary, None for an image, a histogram or text."""
    if value.WhichOneof("value") == "simple_value":
        return float(value.simple_value)
    if value.WhichOneof("value") != "tensor" or value.tensor.tensor_shape.dim:
        return None
    if value.metadata.plugin_data.plugin_name not in ("", "scalars"):
        return None
    array = arrays.make_ndarray(value.tensor)
    return float(array) if array.dtype.kind in "fiu" else None
