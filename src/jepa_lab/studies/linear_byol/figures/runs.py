"""Finds the toy's runs in a folder, and reads their settings from the metadata of their files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import pyarrow as pa

from jepa_lab.config.ranges import plain_name
from jepa_lab.config.tree import flatten
from jepa_lab.errors import UserError
from jepa_lab.files.tables import open_table
from jepa_lab.files.text import parse_json
from jepa_lab.studies.linear_byol.key_groups import ENCODER_CONSTANTS
from jepa_lab.studies.linear_byol.table import NAME

READ_ONLY_BY = {key: mode for mode, key in ENCODER_CONSTANTS.items()}
READ_BY_AUTO = ("auto_rule", "step_scale")


@dataclass(frozen=True)
class ToyTable:
    """The file of one run. `config` maps its settings, nested keys joined by dots. `columns` are
    the names of its numeric columns."""

    path: Path
    run_id: str
    state: str
    config: Mapping[str, Any]
    columns: frozenset[str]
    rows: int

    @property
    def mode(self) -> str:
        return str(self.config["lr_enc_mode"])

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def batch_size(self) -> int:
        return int(self.config["batch_size"])

    @property
    def tau(self) -> float:
        """1 - ema_m, to 8 digits: 1 - 0.999 in float64 is not 0.001."""
        tau = self.config.get("tau")
        return _rounded(tau if is_number(tau) else 1 - self.config["ema_m"])

    @property
    def auto_alpha(self) -> bool:
        """Whether the curvature determines the predictor's rate, so that no setting holds the
        rate."""
        return self.config.get("lr_pred_setting") is None

    @property
    def row(self) -> float:
        """The run's position on a figure's vertical axis: alpha as set, or the constant c of an
        automatic alpha."""
        value = (
            self.config.get("auto_alpha_c") if self.auto_alpha else self.config["lr_pred_setting"]
        )
        if not is_number(value):
            raise ValueError("its metadata has neither lr_pred_setting nor auto_alpha_c")
        return _rounded(value)

    @property
    def beta(self) -> float | None:
        """The encoder's rate in logspace mode, where it is an axis, else None."""
        value = self.config.get("lr_enc_setting")
        return _rounded(value) if self.mode == "logspace" and is_number(value) else None

    @property
    def epochs(self) -> int | None:
        value = self.config.get("epochs")
        return int(value) if is_number(value) else None

    @property
    def cell(self) -> tuple[int, float | None, float, float]:
        """(batch_size, beta, row, tau). Runs of one cell differ only in their seed."""
        return self.batch_size, self.beta, self.row, self.tau


@dataclass(frozen=True)
class FoundToyRuns:
    """The runs of a folder. `skipped` lists (path, reason) of the files that are not runs."""

    runs: list[ToyTable]
    skipped: list[tuple[Path, str]] = field(default_factory=list)


def find_runs(place: Path) -> FoundToyRuns:
    """Returns every run below `place`, or the run in the file `place`. Raises UserError if there is
    none."""
    if not place.exists():
        raise UserError(f"{place}: no such folder")
    paths = [place] if place.is_file() else sorted(place.rglob(NAME))
    if not paths:
        raise UserError(f"{place}: no {NAME} in this folder or below")
    runs, skipped = [], []
    for path in paths:
        try:
            runs.append(_open(path))
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            skipped.append((path, _why(error)))
    if not runs:
        raise UserError(
            f"{skipped[0][0]}: {skipped[0][1]}"
            + (f" (and {len(skipped) - 1} more)" if skipped[1:] else "")
        )
    return FoundToyRuns(runs, skipped)


def _open(path: Path) -> ToyTable:
    file = open_table(path)
    content = (file.schema_arrow.metadata or {}).get(b"jepa_lab")
    if content is None:
        raise ValueError("has no settings in its metadata, so it is not a run of jepa_lab")
    if file.metadata.num_rows == 0:
        raise ValueError("has no row yet")
    meta = parse_json(content.decode("utf-8"))
    config = dict(flatten(meta["config"]))
    schema = file.schema_arrow
    missing = [
        key
        for key in ("lr_enc_mode", *READ_ONLY_BY, "auto_alpha_c", *READ_BY_AUTO)
        if key not in config
    ]
    stored = [key for key in missing if key in schema.names]
    if stored:
        config.update(
            file.read_row_group(0, columns=stored, use_threads=False).slice(0, 1).to_pylist()[0]
        )
    if "lr_pred_setting" not in config and not config.get("auto_alpha_c"):
        config["lr_pred_setting"] = config["lr_pred"]
    numeric = frozenset(
        f.name for f in schema if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)
    )
    run = ToyTable(
        path,
        str(meta["run_id"]),
        str(meta.get("state", "")),
        config,
        numeric,
        file.metadata.num_rows,
    )
    _ = run.seed, run.tau, run.cell  # a missing key raises here, where the file is known
    plain_name("run_id", run.run_id)  # both are in the names of the figures
    plain_name("lr_enc_mode", run.mode)
    return run


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rounded(value: Any) -> float:
    return float(f"{float(value):.8g}")


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"its metadata lacks {error.args[0]}"
    return " ".join(str(error).split()) or type(error).__name__
