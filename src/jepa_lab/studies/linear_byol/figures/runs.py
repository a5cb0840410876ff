"""The files and settings of the toy's runs, and the check that runs may share a figure.

Only the files' metadata is read. Runs are compared by their settings, never by a learning rate in
use. In auto mode the rate changes from row to row, and grouping by it would average over a
trajectory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import pyarrow as pa
import pyarrow.parquet as pq

from jepa_lab.config.tree import flatten
from jepa_lab.errors import UserError
from jepa_lab.studies.linear_byol.config import ENCODER_CONSTANTS, MODES
from jepa_lab.studies.linear_byol.table import NAME

# settings that may differ in one figure: its axes, and keys that change no result
_AXES = (
    "lr_pred_setting",
    "lr_enc_setting",
    "lr_pred",
    "lr_enc",
    "lr",
    "ema_m",
    "tau",
    "seed",
    "batch_size",
)
_NEUTRAL = (
    "lr_enc_mode",
    "auto_alpha_c",
    "epochs",
    "log_every",
    "run_id",
    "name",
    "experiment",
    "runs_dir",
    "on_existing",
)
_READ_ONLY_BY = {key: mode for mode, key in ENCODER_CONSTANTS.items()}
_READ_BY_AUTO = ("auto_rule", "step_scale")


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
        return _rounded(tau if _is_number(tau) else 1 - self.config["ema_m"])

    @property
    def auto_alpha(self) -> bool:
        """Whether the curvature set the predictor's rate, so that no setting has its value."""
        return self.config.get("lr_pred_setting") is None

    @property
    def row(self) -> float:
        """The run's position on a figure's vertical axis: alpha as set, or the constant c of an
        automatic alpha."""
        value = (
            self.config.get("auto_alpha_c") if self.auto_alpha else self.config["lr_pred_setting"]
        )
        if not _is_number(value):
            raise ValueError("its metadata has neither lr_pred_setting nor auto_alpha_c")
        return _rounded(value)

    @property
    def beta(self) -> float | None:
        """The encoder's rate in logspace mode, where it is an axis, else None."""
        value = self.config.get("lr_enc_setting")
        return _rounded(value) if self.mode == "logspace" and _is_number(value) else None

    @property
    def epochs(self) -> int | None:
        value = self.config.get("epochs")
        return int(value) if _is_number(value) else None

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


def where(runs: Sequence[ToyTable], filters: Iterable[str]) -> list[ToyTable]:
    """Returns the runs that match every `KEY=VALUE` of `filters`. Raises UserError for a key or a
    value that no run has."""
    chosen = list(runs)
    for condition in filters:
        key, equals, text = condition.partition("=")
        if not equals or not key or not text:
            raise UserError(f"--where {condition}: expected KEY=VALUE, as in mom_pred=0.9")
        known = sorted({name for run in chosen for name in (*run.config, "tau")})
        if key not in known:
            raise UserError(
                f"--where {condition}: no run has the setting {key}; available: {', '.join(known)}"
            )
        fits = [run for run in chosen if _same(_setting(run, key), text)]
        if not fits:
            there = ", ".join(_counts(chosen, key))
            raise UserError(f"--where {condition}: no such run; {key} is {there}")
        chosen = fits
    return chosen


def of_mode(runs: Sequence[ToyTable], mode: str | None) -> dict[str, list[ToyTable]]:
    """Returns the runs by lr_enc_mode, or only those of `mode`. Raises UserError if no run has this
    mode."""
    by_mode = {name: [run for run in runs if run.mode == name] for name in _mode_order(runs)}
    if mode is None:
        return by_mode
    if mode not in by_mode:
        raise UserError(f"--lr-enc-mode {mode}: not in these runs; available: {', '.join(by_mode)}")
    return {mode: by_mode[mode]}


def in_batches(runs: Sequence[ToyTable], batches: Sequence[int] | None) -> list[ToyTable]:
    """Returns the runs with these batch sizes, or all runs for None. Raises UserError for a batch
    size that no run has."""
    there = sorted({run.batch_size for run in runs})
    absent = [size for size in batches or () if size not in there]
    if absent:
        raise UserError(
            f"--batches {absent[0]}: no such run; available: {', '.join(map(str, there))}"
        )
    return [run for run in runs if batches is None or run.batch_size in batches]


def comparable(runs: Sequence[ToyTable]) -> list[ToyTable]:
    """Returns the runs of one mode, each experiment once. Of repeats with equal settings the
    longest is kept.

    Raises UserError if the runs differ in a setting that is not an axis of a figure, because they
    must not be averaged.
    """
    for key in _settings_that_count(runs):
        counts = _counts(runs, key)
        if len(counts) > 1 and not _determined(runs, key):
            _ask(runs, key)
    longest: dict[tuple[Any, ...], ToyTable] = {}
    for run in sorted(runs, key=lambda run: (run.rows, run.state == "completed", run.run_id)):
        longest[(*run.cell, run.seed)] = run
    return sorted(
        longest.values(),
        key=lambda run: (run.batch_size, run.beta or 0.0, run.row, run.tau, run.seed),
    )


def population_twin(run: ToyTable, runs: Sequence[ToyTable]) -> ToyTable | None:
    """Returns the run of the deterministic population recursion with the settings of `run`, at any
    batch size, or None."""
    ignored = {*_NEUTRAL, "population", "batch_size"}
    mine = {key: _text(value) for key, value in run.config.items() if key not in ignored}
    for other in runs:
        theirs = {key: _text(value) for key, value in other.config.items() if key not in ignored}
        if other.config.get("population") and not run.config.get("population") and mine == theirs:
            return other
    return None


def _open(path: Path) -> ToyTable:
    file = pq.ParquetFile(path)
    content = (file.schema_arrow.metadata or {}).get(b"jepa_lab")
    if content is None:
        raise ValueError("has no settings in its metadata, so it is not a run of jepa_lab")
    if file.metadata.num_rows == 0:
        raise ValueError("has no row yet")
    meta = json.loads(content)
    config = dict(flatten(meta["config"]))
    schema = file.schema_arrow
    missing = [
        key
        for key in ("lr_enc_mode", *_READ_ONLY_BY, "auto_alpha_c", *_READ_BY_AUTO)
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
    _ = run.mode, run.seed, run.tau, run.cell  # a missing key raises here, where the file is known
    return run


def _ask(runs: Sequence[ToyTable], first: str) -> None:
    """Raises UserError, which lists the settings in which the runs differ and suggests a filter."""
    differ = [
        k
        for k in _settings_that_count(runs)
        if len(_counts(runs, k)) > 1 and not _determined(runs, k)
    ]
    shown = "; ".join(f"{key} is {', '.join(_counts(runs, key))}" for key in differ[:6])
    more = f"; and {len(differ) - 6} more" if len(differ) > 6 else ""
    value = _text(_setting(runs[0], first))
    raise UserError(
        f"the runs of mode {runs[0].mode} differ in settings that are not axes: {shown}{more}; add"
        f" --where {first}={value}"
    )


def _settings_that_count(runs: Sequence[ToyTable]) -> list[str]:
    """Returns the keys in which runs of one figure must agree."""
    mode, automatic = runs[0].mode, any(run.auto_alpha for run in runs)
    keys = {key for run in runs for key in run.config}.difference(_AXES, _NEUTRAL)
    keys -= {key for key, reader in _READ_ONLY_BY.items() if mode != reader}
    if mode != "auto" and not automatic:
        keys.difference_update(_READ_BY_AUTO)
    # an alpha that was set and an automatic alpha cannot share an axis
    return sorted(keys) + (["lr_pred_setting"] if len({run.auto_alpha for run in runs}) > 1 else [])


def _determined(runs: Sequence[ToyTable], key: str) -> bool:
    """Returns whether every position on the axis that belongs to `key` has a single value of it, so
    that no cell mixes values."""
    if key == "auto_beta_c":
        axis = [run.row for run in runs]
    elif key.endswith("seed"):
        axis = [float(run.seed) for run in runs]
    else:
        return False
    return len(set(axis)) == len(
        {(a, _text(_setting(run, key))) for a, run in zip(axis, runs, strict=True)}
    )


def _counts(runs: Sequence[ToyTable], key: str) -> list[str]:
    """Returns each value of a setting with its number of runs, as in `0.9 (16 runs)`."""
    counts: dict[str, int] = {}
    for run in runs:
        text = _text(_setting(run, key))
        if key == "lr_pred_setting":
            text = "null" if text == "null" else "a number"
        counts[text] = counts.get(text, 0) + 1
    return [f"{text} ({n} run{'s' * (n > 1)})" for text, n in sorted(counts.items())]


def _setting(run: ToyTable, key: str) -> Any:
    return run.tau if key == "tau" else run.config.get(key)


def _same(value: Any, text: str) -> bool:
    if _is_number(value):
        try:
            return math.isclose(float(value), float(text), rel_tol=1e-9)
        except ValueError:
            return False
    return _text(value).lower() == text.lower() or (value is None and text.lower() == "none")


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if _is_number(value):
        return f"{value:.8g}"
    return value if isinstance(value, str) else json.dumps(value)


def _mode_order(runs: Sequence[ToyTable]) -> list[str]:
    there = {run.mode for run in runs}
    return [mode for mode in MODES if mode in there] + sorted(there.difference(MODES))


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rounded(value: Any) -> float:
    return float(f"{float(value):.8g}")


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"its metadata lacks {error.args[0]}"
    return " ".join(str(error).split()) or type(error).__name__
