"""Writes and reads linear_byol.parquet, the table of one run of the toy. The published columns come
first, and the run's configuration is in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jepa_lab.errors import UserError
from jepa_lab.files.limits import OverLimit
from jepa_lab.files.tables import read_table
from jepa_lab.files.text import parse_json
from jepa_lab.ledger.parquet import History
from jepa_lab.ledger.tables import write_table
from jepa_lab.studies.linear_byol.config import keys_of_type
from jepa_lab.studies.linear_byol.key_groups import TABLE_SETTINGS

NAME = "linear_byol.parquet"
# the table of the same run with an infinite batch, in the folder of a single run
THEORY = "theory.parquet"
PUBLISHED = (
    "epoch",
    "seed",
    "batch_size",
    "lr_pred",
    "lr_enc",
    "mom_pred",
    "mom_enc",
    "lr",
    "ema_m",
    "tau",
    "sigma_n",
    "d_latent",
    "d_obs",
    "loss",
    "Hmax",
    "wall_s",
    "W_rel_sv_err",
    "W_Fro_raw",
    "W_Fro_aligned",
    "W_cos_left_min",
    "W_cos_right_min",
    "enc_cos_min",
    "enc_cos_mean",
    "enc_proj_dist",
    "BA_err_raw",
    "BA_err_aligned",
    "enc_procrustes_fro",
    "erank_encoded",
    "erank_pred",
)
TEXTS = {"run_id", *keys_of_type("str")}
INTEGERS = {"epoch", "diverged_step", *keys_of_type("int")}
NO_METRICS = ("epoch", "wall_s", "diverged", "diverged_step", "lr", *TABLE_SETTINGS)


def write_run(
    path: Path, rows: Mapping[str, np.ndarray], settings: Mapping[str, Any], state: str
) -> None:
    """Writes the table of one run, completely or not at all.

    `rows` maps each column to its values (n,), or (n, d) for singular values. `settings` is the
    run's configuration. It goes into the file's metadata under "jepa_lab", and the keys of
    TABLE_SETTINGS also become columns. Raises OSError if the file cannot be written.
    """
    n = len(rows["epoch"])
    columns: dict[str, pa.Array] = {name: _array(name, values) for name, values in rows.items()}
    columns["lr"] = columns["lr_pred"]
    for name in TABLE_SETTINGS:
        value = settings.get(name)
        columns[name] = pa.repeat(_scalar(name, value), n)
    order = [name for name in PUBLISHED if name in columns]
    table = pa.table(
        {name: columns[name] for name in [*order, *(c for c in columns if c not in order)]}
    )
    meta = {"run_id": settings["run_id"], "state": state, "config": dict(settings)}
    table = table.replace_schema_metadata({"jepa_lab": json.dumps(meta)})
    write_table(path, table, use_dictionary=False, write_statistics=False)


def read_run(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the columns and the metadata of a file that `write_run` wrote. Raises UserError if
    the file is missing or broken."""
    table = read_rows(path)
    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        nested = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
        values = column.to_numpy(zero_copy_only=False)
        columns[name] = np.stack(values) if nested and len(column) else values
    return columns, _metadata(table.schema)


def read_rows(path: Path) -> pa.Table:
    """Returns the table that `write_run` wrote. Raises UserError if the file is missing or
    broken."""
    try:
        table = read_table(path)
    except (OSError, OverLimit, pa.ArrowException) as error:
        raise unreadable(path, error) from None
    if "epoch" not in table.column_names:
        raise UserError(f"{path}: no column epoch; it is not a table of the toy")
    return table


def unreadable(path: Path, error: Exception) -> UserError:
    """Returns the UserError for a table that cannot be read."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(f"{path}: not a readable table of the toy ({reason})")


def _metadata(schema: pa.Schema) -> dict[str, Any]:
    """Returns the metadata that `write_run` stored, or {} if it is missing or damaged."""
    try:
        found = parse_json((schema.metadata or {}).get(b"jepa_lab", b"{}").decode("utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def history_of(folder: Path) -> History:
    """Reads the (step, value) pairs of every metric of a run, by the metric's name in the summary.
    Raises UserError if the table is broken."""
    return history(read_run(folder / NAME)[0])


def history(columns: Mapping[str, np.ndarray]) -> History:
    """Returns the (step, value) pairs of every metric in `columns`, by the metric's name in the
    summary."""
    steps = columns["epoch"].tolist()
    return {
        key: list(zip(steps, values.tolist(), strict=True))
        for key, values in metrics_of(columns).items()
    }


def metrics_of(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the values of every metric in `columns`, by the metric's name in the summary."""
    return {
        ("train/loss/total" if name == "loss" else f"val/{name}"): values
        for name, values in columns.items()
        if values.ndim == 1 and values.dtype.kind in "fiub" and name not in NO_METRICS
    }


def _array(name: str, values: np.ndarray) -> pa.Array:
    if values.ndim == 2:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        offsets = pa.array(np.arange(0, values.size + 1, values.shape[1], dtype=np.int32))
        return pa.ListArray.from_arrays(offsets, flat)
    if name in INTEGERS:
        return pa.array(values.astype(np.int64))
    return pa.array(values if values.dtype == bool else values.astype(np.float64))


def _scalar(name: str, value: Any) -> pa.Scalar:
    if name in TEXTS:
        return pa.scalar(value, pa.string())
    if isinstance(value, bool):
        return pa.scalar(value)
    if name in INTEGERS:
        return pa.scalar(value, pa.int64())
    return pa.scalar(float("nan") if value is None else float(value), pa.float64())
