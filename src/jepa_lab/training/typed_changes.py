"""The overrides that a user typed, as suspects: each is taken back to the value of the
experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.diagnosis.trials import Candidate
from jepa_lab.errors import UserError
from jepa_lab.ledger.command_line import CommandLine, key_of
from jepa_lab.training.branching import is_hot

# overrides of what the run is about, its budget and its machine, which no failure is blamed on
OTHERS = (
    *("experiment", "tier", "seed", "seeds", "epochs", "dataset", "runs_dir", "preflight", "name"),
    *("figures", "keep", "log_every", "save_every_s", "eval_size", "precision", "on_existing"),
    *("dataset.train_size", "dataset.val_size", "dataset.epochs", "encoder.widths", "max_wall_s"),
)
OTHER_GROUPS = (
    *("branch", "hardware", "monitor", "logger", "probes", "gates", "diagnosis"),
    *("sweep", "hydra"),
)


def taken_back(line: CommandLine, compose: Callable[[CommandLine], Any]) -> list[Candidate]:
    """Returns a change for every override of a command line that could be guilty: the value that
    the experiment has without it. `compose` turns a command line into a checked configuration."""
    found = []
    given = asdict(compose(line))
    for override in line.overrides:
        key = key_of(override)
        if key in OTHERS or key.partition(".")[0] in OTHER_GROUPS:
            continue
        rest = tuple(other for other in line.overrides if other != override)
        try:
            usual = asdict(compose(CommandLine(rest, line.config_dir)))
        except UserError:  # another override needs this one
            continue
        value, before = _value(usual, key), _value(given, key)
        if value is not None and value != before:
            change = f"{key}={_text(value)}"
            found.append(Candidate((change,), f"{override} was typed", is_hot(key)))
    return found


def _value(config: Mapping[str, Any], key: str) -> Any:
    """Returns the value of a key, and of a group the name of its option."""
    value = value_of(config, key)
    return value.get("name") if isinstance(value, Mapping) else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace(" ", "") if isinstance(value, list) else str(value)
