"""Selects the runs of a figure, and checks that they may share it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.studies.linear_byol.figures.runs import (
    READ_BY_AUTO,
    READ_ONLY_BY,
    ToyTable,
    is_number,
)
from jepa_lab.studies.linear_byol.key_groups import MODES

# Runs are compared by their settings, never by a learning rate in use. In auto mode the rate
# changes from row to row, and grouping by it would average over a trajectory.

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
    keys -= {key for key, reader in READ_ONLY_BY.items() if mode != reader}
    if mode != "auto" and not automatic:
        keys.difference_update(READ_BY_AUTO)
    # an alpha that was set and an automatic alpha cannot share an axis
    return sorted(keys) + (["lr_pred_setting"] if len({run.auto_alpha for run in runs}) > 1 else [])


def _determined(runs: Sequence[ToyTable], key: str) -> bool:
    """Returns whether runs at the same position of the axis that belongs to `key` also agree in
    `key`. Then no cell mixes different values."""
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
    if is_number(value):
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
    if is_number(value):
        return f"{value:.8g}"
    return value if isinstance(value, str) else json.dumps(value)


def _mode_order(runs: Sequence[ToyTable]) -> list[str]:
    there = {run.mode for run in runs}
    return [mode for mode in MODES if mode in there] + sorted(there.difference(MODES))
