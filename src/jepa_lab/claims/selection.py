"""Selects the runs of a claim by their settings, and never mixes protocols."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jepa_lab.claims.claim import Claim, Settings
from jepa_lab.claims.settings import aux_keys, default_of, schema_keys
from jepa_lab.config.tree import flatten
from jepa_lab.diagnosis import judge
from jepa_lab.errors import UserError, nearest
from jepa_lab.ledger.finished_run import Run
from jepa_lab.ledger.identity import IGNORED
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.run_dir import state_of
from jepa_lab.report.comparison.differences import setting_text
from jepa_lab.report.comparison.find_runs import aux_of, dataset_of
from jepa_lab.studies import find

# settings that are no part of the protocol of a run: place, monitoring, and derived settings
NO_PROTOCOL = (
    *IGNORED,
    "seed",
    "run_id",
    "monitor",
    "dataset.tiers",
    "dataset.usual_first_view",
    "log_every",
    "recipe.lambda_rate",
    "hardware",
    "target.tau",
    "name",
    "study",
)
# settings that both sides of a contrast must share, unless the contrast names them
SHARED = (
    "dataset",
    "tier",
    "encoder",
    "precision",
    "probes",
    "recipe",
    "epochs",
    "batch_size",
    "population",
)
DERIVED = ("tau", "lr_pred_setting", "lr_enc_setting")  # keys that the toy adds to its settings
DIGITS = 8  # significant digits in which two numbers must agree to be equal settings


@dataclass(frozen=True)
class Chosen:
    """The selected runs by seed, and (seed, reason, path) of the unusable ones.

    A seed has several runs only if they differ in a setting of `over` or of a grid. `clash` is the
    reason why the runs follow several protocols, None if they follow one."""

    runs: dict[int, list[Run]] = field(default_factory=dict)
    unusable: list[tuple[int, str, str]] = field(default_factory=list)
    clash: str | None = None

    def all(self) -> list[Run]:
        return [run for runs in self.runs.values() for run in runs]

    def collapsed(self) -> int:
        """Returns how many runs have a verdict of collapse. Their values are used unchanged."""
        statuses = [status_of(run) for run in self.all()]
        return sum(status is not None and "collapse" in status for status in statuses)


def version_of(run: Run) -> int | None:
    """Returns the version of the results that the run was made with, None if it is unknown."""
    return (run.status.get("versions") or {}).get("results_version")


def status_of(run: Run) -> str | None:
    """Returns the verdict on the run by the current rules, or that of its summary if the run has no
    metrics file."""
    if (run.path / "metrics.parquet").is_file():
        return _judged(run.path)
    return (run.summary.get("verdict") or {}).get("status")


@cache
def _readable(path: Path, study: str | None) -> bool:
    """Returns whether the table with the metrics of a run is readable. True for a run without
    it."""
    entry = find(study)
    try:
        if (path / "metrics.parquet").is_file():
            return bool(_judged(path))
        return not (path / entry.table).is_file() or entry.history(path) is not None
    except UserError:
        return False


@cache
def _judged(path: Path) -> str:
    return judge(history_of(path)).status


def value_of(config: Mapping[str, Any], key: str) -> Any:
    """Returns the setting `key` of a run.

    `key` is a dotted key, a group (whose value is the name of its option), `experiment`, `dataset`
    or `aux`. A run that is older than the key has its default value. Raises KeyError if the key has
    no default either."""
    if key in ("experiment", "dataset", "aux"):
        return {"experiment": lambda c: c.get("name"), "dataset": dataset_of, "aux": aux_of}[key](
            config
        )
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return default_of(config.get("study"), key)
        node = node[part]
    return node["name"] if isinstance(node, Mapping) and "name" in node else node


def fits(run: Run, settings: Settings) -> bool:
    """Returns whether the run has all the settings. Numbers are compared in eight digits."""
    for key, wanted in settings.items():
        try:
            if not same(value_of(run.config, key), wanted):
                return False
        except KeyError:
            return False
    return True


def same(value: Any, wanted: Any) -> bool:
    """Returns whether two settings are equal, e.g. 1e-3 and 0.001, or 1 - 0.999 and 0.001."""
    return bool(_plain(value) == _plain(wanted))


def choose(
    runs: Iterable[Run], claim: Claim, settings: Settings, axes: Sequence[str] = ()
) -> Chosen:
    """Returns the runs with these settings and the seeds of the claim. Copies of a run count once.

    `axes` are settings that a statistic reads itself, so the runs may differ in them."""
    free = (*claim.over, *axes)
    found: dict[int, dict[str, Run]] = {}
    unusable: list[tuple[int, str, str]] = []
    for run in runs:
        seed = run.config.get("seed")
        if seed not in claim.seeds or not fits(run, settings):
            continue
        state = state_of(run.status) if run.status else "unknown"
        if state != "completed" and not (state == "failed" and run.ended_in_nan()):
            unusable.append((seed, state, short_place(run.path)))
            continue
        study = run.config.get("study")
        if not _readable(run.path, study):
            reason = f"damaged ({find(study).table}); on_existing=restart runs it again"
            unusable.append((seed, reason, short_place(run.path)))
            continue
        found.setdefault(seed, {}).setdefault(str(run.status.get("run_id") or run.path), run)
    chosen = {seed: list(by_id.values()) for seed, by_id in sorted(found.items())}
    return Chosen(
        chosen, unusable, _clash([run for own in chosen.values() for run in own], chosen, free)
    )


def differs_in(a: Chosen, b: Chosen, named: Iterable[str]) -> str | None:
    """Returns a message on a setting of the protocol in which both sides differ although the
    contrast does not name it, None if there is no such setting."""
    left, right = (_settings_of(chosen.all()[:1]) for chosen in (a, b))
    named = [*named, *(key.removesuffix(".name") for key in named)]
    for key in left.keys() & right.keys():
        shared = any(f"{key}.".startswith(f"{prefix}.") for prefix in SHARED)
        if shared and not any(f"{key}.".startswith(f"{prefix}.") for prefix in named):
            first, second = left[key].copy().pop(), right[key].copy().pop()
            if first != second:
                return (
                    f"{key} is {first} in the arm and {second} in the control; name it in where, or"
                    " in the contrast"
                )
    return None


def short_place(path: Path) -> str:
    """Returns experiment/run_id, since a page of results must not name folders of this machine."""
    return f"{path.parent.name}/{path.name}"


def _clash(
    runs: Sequence[Run], by_seed: Mapping[int, Sequence[Run]], free: Sequence[str]
) -> str | None:
    """Returns a message if runs of several protocols fit, or if a seed has two equal runs."""
    varying = {
        key: values
        for key, values in _settings_of(runs).items()
        if len(values) > 1 and not any(f"{key}.".startswith(f"{axis}.") for axis in _names(free))
    }
    if varying:
        listed = "; ".join(
            f"{key} {' | '.join(sorted(values))}" for key, values in list(varying.items())[:3]
        )
        return f"several protocols fit: {listed}: name one in where"
    if free:
        return None
    for seed, own in by_seed.items():
        if len(own) > 1:
            first, second = (short_place(run.path) for run in own[:2])
            return (
                f"{first} and {second} both have seed {seed} and the same settings: leave one out"
            )
    return None


def _settings_of(runs: Sequence[Run]) -> dict[str, set[str]]:
    """Returns {setting of the protocol: its values as texts}. A run that is older than a key adds
    no value to it."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for key, value in flatten(run.config):
            if not any(f"{key}.".startswith(f"{prefix}.") for prefix in NO_PROTOCOL):
                found.setdefault(key, set()).add(setting_text(_plain(value)))
    return found


def _names(free: Iterable[str]) -> list[str]:
    return [name for key in free for name in (key, key.removesuffix(".name"))]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = float(value)  # 1e-4 is a text in YAML
        except ValueError:
            return value
    if isinstance(value, float) and math.isfinite(value):
        rounded = float(f"{value:.{DIGITS}g}")
        return int(rounded) if rounded.is_integer() else rounded
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def check_settings(claim: Claim, runs: Iterable[Run]) -> None:
    """Raises UserError for a setting that neither a study nor a run has, with the nearest names."""
    losses = aux_keys()
    known = {
        "experiment",
        *DERIVED,
        *schema_keys(),
        *(f"aux.{loss}.{key}" for loss in losses for key in losses[loss]),
    }
    wanted = [key for _, settings in claim.sides() for key in settings]
    for key in dict.fromkeys([*wanted, *claim.over]):
        if key in known or _is_user_defined(key, claim) or any(_has(r.config, key) for r in runs):
            continue
        raise UserError(f"{claim.place}: {key}: no such setting{nearest(key, known)}")


def _is_user_defined(key: str, claim: Claim) -> bool:
    """Returns whether the key is of an auxiliary loss that conf/ does not have and that a command
    line of the claim names."""
    group, _, rest = key.partition(".")
    loss, _, inner = rest.partition(".")
    named = any(re.search(rf"\b{re.escape(loss)}\b", command) for command in claim.runs)
    return group == "aux" and bool(inner) and loss not in aux_keys() and loss != "none" and named


def _has(config: Mapping[str, Any], key: str) -> bool:
    try:
        value_of(config, key)
    except KeyError:
        return False
    return True
