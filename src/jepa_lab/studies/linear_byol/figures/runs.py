"""The linear BYOL toy's runs: their files, what was set in each, and which of them may stand in one
figure.

Reads the files' metadata only. A run is known by its settings, never by a live learning rate: in
auto mode the rate changes from row to row, and grouping by it would average a trajectory.
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
from jepa_lab.studies.linear_byol.config import MODES
from jepa_lab.studies.linear_byol.table import NAME

# the axes of the figures, and what changes no number of a run
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
_READ_ONLY_BY = {"enc_over_pred": "ratio", "beta_from_tau_c": "from_tau", "auto_beta_c": "auto"}
_READ_BY_AUTO = ("auto_rule", "step_scale")


@dataclass(frozen=True)
class ToyTable:
    """One file. `config`: its settings, nested keys joined by dots; `columns`: names of its numeric
    columns."""

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
        given = self.config.get("tau")
        return _rounded(given if _is_number(given) else 1 - self.config["ema_m"])

    @property
    def auto_alpha(self) -> bool:
        """Whether the predictor's rate was set by the curvature, so that no setting names it."""
        return self.config.get("lr_pred_setting") is None

    @property
    def row(self) -> float:
        """Where the run stands on a figure's vertical axis: alpha as set, or the constant c of an
        automatic alpha."""
        value = (
            self.config.get("auto_alpha_c") if self.auto_alpha else self.config["lr_pred_setting"]
        )
        if not _is_number(value):
            raise ValueError("its metadata has neither lr_pred_setting nor auto_alpha_c")
        return _rounded(value)

    @property
    def beta(self) -> float | None:
        """The encoder's rate where it is an axis of its own (logspace), else None: other settings
        then give it."""
        value = self.config.get("lr_enc_setting")
        return _rounded(value) if self.mode == "logspace" and _is_number(value) else None

    @property
    def epochs(self) -> int | None:
        value = self.config.get("epochs")
        return int(value) if _is_number(value) else None

    @property
    def cell(self) -> tuple[int, float | None, float, float]:
        """(batch_size, beta, row, tau): seeds of one cell are repeats of one experiment."""
        return self.batch_size, self.beta, self.row, self.tau


@dataclass(frozen=True)
class FoundToyRuns:
    """The runs of a folder, and (path, why) of the files that are none."""

    runs: list[ToyTable]
    skipped: list[tuple[Path, str]] = field(default_factory=list)


def find_runs(place: Path) -> FoundToyRuns:
    """Every run below `place`, or the one in the file `place`. UserError where there is none."""
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
    """The runs with every `KEY=VALUE` of `filters`. UserError for a key or a value that no run
    has."""
    chosen = list(runs)
    for word in filters:
        key, equals, text = word.partition("=")
        if not equals or not key or not text:
            raise UserError(f"--where {word}: KEY=VALUE, as mom_pred=0.9")
        known = sorted({name for run in chosen for name in (*run.config, "tau")})
        if key not in known:
            raise UserError(
                f"--where {word}: no run has the setting {key}; there are {', '.join(known)}"
            )
        fits = [run for run in chosen if _same(_setting(run, key), text)]
        if not fits:
            there = ", ".join(_counts(chosen, key))
            raise UserError(f"--where {word}: no such run; {key} is {there}")
        chosen = fits
    return chosen


def of_mode(runs: Sequence[ToyTable], mode: str | None) -> dict[str, list[ToyTable]]:
    """The runs by lr_enc_mode; only `mode` where one is asked for. UserError naming the modes if it
    is not there."""
    by_mode = {name: [run for run in runs if run.mode == name] for name in _mode_order(runs)}
    if mode is None:
        return by_mode
    if mode not in by_mode:
        raise UserError(f"--lr-enc-mode {mode}: not in these runs; there: {', '.join(by_mode)}")
    return {mode: by_mode[mode]}


def in_batches(runs: Sequence[ToyTable], batches: Sequence[int] | None) -> list[ToyTable]:
    """The runs with these batch sizes, all for None. UserError naming those that are there if one
    is not."""
    there = sorted({run.batch_size for run in runs})
    absent = [size for size in batches or () if size not in there]
    if absent:
        raise UserError(f"--batches {absent[0]}: no such run; there: {', '.join(map(str, there))}")
    return [run for run in runs if batches is None or run.batch_size in batches]


def comparable(runs: Sequence[ToyTable]) -> list[ToyTable]:
    """The runs of one mode, each experiment once: a repeat with equal settings is left out, the
    longest one stays.

    UserError where the runs differ in what no axis of a figure shows: they must not be averaged.
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
    """The run of the deterministic population recursion with the settings of `run`, whatever its
    batch size."""
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
        raise ValueError("has no settings in its metadata, so it is no run of jepa_lab")
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
    _ = run.mode, run.seed, run.tau, run.cell  # a missing key shows here, with its file
    return run


def _ask(runs: Sequence[ToyTable], first: str) -> None:
    differ = [
        k
        for k in _settings_that_count(runs)
        if len(_counts(runs, k)) > 1 and not _determined(runs, k)
    ]
    shown = "; ".join(f"{key} is {', '.join(_counts(runs, key))}" for key in differ[:6])
    more = f"; and {len(differ) - 6} more" if len(differ) > 6 else ""
    value = _text(_setting(runs[0], first))
    raise UserError(
        f"the runs of mode {runs[0].mode} differ in what no axis shows: {shown}{more}; add --where"
        f" {first}={value}"
    )


def _settings_that_count(runs: Sequence[ToyTable]) -> list[str]:
    mode, automatic = runs[0].mode, any(run.auto_alpha for run in runs)
    keys = {key for run in runs for key in run.config}.difference(_AXES, _NEUTRAL)
    keys -= {key for key, reader in _READ_ONLY_BY.items() if mode != reader}
    if mode != "auto" and not automatic:
        keys.difference_update(_READ_BY_AUTO)
    # an alpha by setting and one by the curvature do not share an axis
    return sorted(keys) + (["lr_pred_setting"] if len({run.auto_alpha for run in runs}) > 1 else [])


def _determined(runs: Sequence[ToyTable], key: str) -> bool:
    """Whether an axis of the figures already tells the values of `key` apart."""
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
    """Each value of a setting with its number of runs, as `0.9 (16 runs)`."""
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
