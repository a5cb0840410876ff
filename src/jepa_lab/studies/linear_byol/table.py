"""linear_byol.parquet: the rows of one run of the toy, the published columns first, its
configuration in the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import replace_file, temporary_beside
from jepa_lab.ledger.parquet import History

NAME = "linear_byol.parquet"
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
SETTINGS = (
    "seed",
    "batch_size",
    "mom_pred",
    "mom_enc",
    "ema_m",
    "tau",
    "sigma_n",
    "d_latent",
    "d_obs",
    "run_id",
    "enc",
    "pred",
    "lr_enc_mode",
    "enc_init",
    "auto_rule",
    "step_scale",
    "auto_alpha_c",
    "auto_beta_c",
    "enc_over_pred",
    "beta_from_tau_c",
    "population",
    "stop_gradient",
    "symmetric",
)
TEXTS = ("run_id", "enc", "pred", "lr_enc_mode", "enc_init", "auto_rule", "step_scale")
NO_METRICS = ("epoch", "wall_s", "diverged", "diverged_step", "lr", *SETTINGS)
INTEGERS = ("epoch", "seed", "batch_size", "d_latent", "d_obs", "diverged_step")


def write_run(
    path: Path, rows: Mapping[str, np.ndarray], settings: Mapping[str, Any], state: str
) -> None:
    """Writes the table of one run, whole or not at all. `rows`: columns (n,), singular values (n,
    d); `settings`: the run's configuration, in the file's metadata under "jepa_lab" and, for
    `SETTINGS`, in columns. OSError if the file cannot be written."""
    n = len(rows["epoch"])
    columns: dict[str, pa.Array] = {name: _array(name, values) for name, values in rows.items()}
    columns["lr"] = columns["lr_pred"]
    for name in SETTINGS:
        value = settings.get(name)
        columns[name] = pa.repeat(_scalar(name, value), n)
    order = [name for name in PUBLISHED if name in columns]
    table = pa.table(
        {name: columns[name] for name in [*order, *(c for c in columns if c not in order)]}
    )
    meta = {"run_id": settings["run_id"], "state": state, "config": dict(settings)}
    table = table.replace_schema_metadata({"jepa_lab": json.dumps(meta)})
    tmp = temporary_beside(path)
    try:
        pq.write_table(table, tmp, compression="zstd", use_dictionary=False, write_statistics=False)
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise
    replace_file(tmp, path)


def read_run(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns (columns, metadata) as `write_run` takes them. UserError if it is missing or broken.
    Returns (columns, metadata) as `write_run` takes them. UserError if it is missing or broken."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{path}: not a readable file of the toy ({str(error).splitlines()[0]})"
        ) from None
    if "epoch" not in table.column_names:
        raise UserError(f"{path}: no column epoch; it is not a file of the toy")
    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        nested = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
        values = column.to_numpy(zero_copy_only=False)
        columns[name] = np.stack(values) if nested and len(column) else values
    return columns, _metadata(table.schema)


def _metadata(schema: pa.Schema) -> dict[str, Any]:
    """What `write_run` put beside the columns; {} where it is missing or damaged."""
    try:
        found = json.loads((schema.metadata or {}).get(b"jepa_lab", b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def history_of(folder: Path) -> History:
    """(step, value) pairs of every metric of a run, by its name in the summary. UserError for a
    broken table."""
    return history(read_run(folder / NAME)[0])


def history(columns: Mapping[str, np.ndarray]) -> History:
    """The same from the columns."""
    steps = columns["epoch"].tolist()
    return {
        ("train/loss/total" if name == "loss" else f"val/{name}"): list(
            zip(steps, values.tolist(), strict=True)
        )
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
