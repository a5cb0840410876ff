"""The labelled runs of the benchmark, written to and read from one Parquet file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jepa_lab.errors import UserError
from jepa_lab.files.limits import OverLimit
from jepa_lab.files.tables import read_table

SHIPPED = Path(__file__).parent / "runs.parquet"
History = dict[str, list[tuple[int, float]]]
LABELS = ("failed", "good", "undecided")
GROUPS = ("data", "network", "method")
TEXTS = (
    "name",
    *GROUPS,
    "condition",
    "kind",
    "length",
    "label",
    "label_features",
    "label_prediction",
)
NUMBERS = ("seed", "steps", "lost_at")
MASK = np.uint32(0xFFFFFF00)  # keeps 15 bits of the mantissa, a relative error of 2e-5 at most
CURVE = pa.struct(
    [("key", pa.string()), ("steps", pa.list_(pa.int32())), ("values", pa.list_(pa.float32()))]
)
COLUMNS = (*TEXTS, *NUMBERS, "onset", "quantities", "history")


@dataclass(frozen=True)
class BenchRun:
    """A run with its groups, its label and its history {key: [(step, value)]}.

    `kind` is healthy, wrong or fault, the intention; `label` is the oracle's: failed, good or
    undecided. `lost_at` is the validation from which the features are failed until the end, None
    without one; only `onset` runs, which validate every 10 steps, have it. `quantities` are the
    numbers that the oracle read, which no rule may read.
    """

    name: str
    data: str
    network: str
    method: str
    condition: str
    kind: str
    length: str
    label: str
    label_features: str
    label_prediction: str
    seed: int
    steps: int
    lost_at: int | None = None
    onset: bool = False
    quantities: Mapping[str, float] = field(default_factory=dict)
    history: History = field(default_factory=dict)

    def last(self, key: str) -> float | None:
        """Returns the last value of a metric, or None without one."""
        points = self.history.get(key)
        return points[-1][1] if points else None


def save_runs(path: Path, runs: Sequence[BenchRun]) -> None:
    """Writes one row for each run. Values are float32 of 15 bits of mantissa."""
    columns: dict[str, Any] = {k: [getattr(r, k) for r in runs] for k in (*TEXTS, "onset")}
    columns |= {k: pa.array([getattr(r, k) for r in runs], pa.int32()) for k in NUMBERS}
    columns["quantities"] = [json.dumps(_short(r.quantities), sort_keys=True) for r in runs]
    columns["history"] = pa.array(
        [
            [
                {"key": k, "steps": [s for s, _ in p], "values": rounded([v for _, v in p])}
                for k, p in sorted(r.history.items())
            ]
            for r in runs
        ],
        pa.list_(CURVE),
    )
    pq.write_table(
        pa.table({k: columns[k] for k in COLUMNS}),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[*TEXTS, "quantities", "history.list.element.key"],
        column_encoding={
            "history.list.element.values.list.element": "BYTE_STREAM_SPLIT",
            "history.list.element.steps.list.element": "DELTA_BINARY_PACKED",
        },
        write_page_checksum=True,
    )


def load_runs(path: Path) -> list[BenchRun]:
    """Reads the runs that `save_runs` wrote. Raises UserError for a file that is missing, is no
    such table, or has no runs."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the Parquet table of the benchmark")
    try:
        table = read_table(path)
    except (pa.ArrowException, OSError, OverLimit) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: not a readable Parquet table ({reason})") from None
    missing = [c for c in COLUMNS if c not in table.column_names]
    if missing:
        raise UserError(f"{path}: not a table of the benchmark, it has no column {missing[0]!r}")
    if not table.num_rows:
        raise UserError(f"{path}: the table has no runs")
    try:
        return [_run(row) for row in table.select(list(COLUMNS)).to_pylist()]
    except (TypeError, ValueError, KeyError, AttributeError):
        raise UserError(f"{path}: a column of the benchmark holds values of another type") from None


def rounded(values: Sequence[float]) -> list[float]:
    """Returns the values as float32 with 15 bits of mantissa, rounded to nearest. Values that are
    not finite stay as they are."""
    single = np.asarray(values, dtype=np.float32)
    bits = (single.view(np.uint32) + np.uint32(0x80)) & MASK
    kept = np.where(np.isfinite(single), bits.view(np.float32), single)
    found: list[float] = np.where(np.isfinite(kept), kept, single).tolist()
    return found


def _run(row: dict[str, Any]) -> BenchRun:
    if row["label"] not in LABELS:
        raise ValueError(row["label"])
    history = {
        h["key"]: list(zip(h["steps"], h["values"], strict=True)) for h in row.pop("history")
    }
    return BenchRun(**{**row, "quantities": json.loads(row["quantities"])}, history=history)


def _short(values: Mapping[str, float]) -> dict[str, float | None]:
    return {k: float(f"{v:.4g}") if math.isfinite(v) else None for k, v in values.items()}
