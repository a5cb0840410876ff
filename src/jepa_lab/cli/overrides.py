"""Prepares the overrides of a command line for Hydra.

Translates older flag names, checks lists of auxiliary losses, and adds the ++ that overrides of
single jobs need.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import HydraException

from jepa_lab.cli.arguments import check_flags, check_options, check_removed, split_flags
from jepa_lab.cli.dashes import check_form, without_dashes
from jepa_lab.cli.hydra_keys import refuse_classes
from jepa_lab.config.groups import AUX_FOLDER, conf_dir, experiment_content, keys_of
from jepa_lab.errors import UserError, say
from jepa_lab.ledger.command_line import SEARCH_PATH
from jepa_lab.process.command import not_empty

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
RENAMED = {
    "eval.subspace_enabled": "monitor.subspace",
    "seq_len": "dataset.seq_len",
    # names from the public ARC JEPA and from its authors' plan
    "vq_enabled": "vq.enabled",
    "commitment_cost": "vq.commitment",
    "ema_decay": "vq.ema_decay",
    "vq_refresh_enabled": "vq.refresh.enabled",
    "vq_refresh_interval": "vq.refresh.interval",
    "vq_refresh_usage_threshold": "vq.refresh.threshold",
    "temperature_min": "loss.temperature.min",
    "temperature_max": "loss.temperature.max",
    "sigreg.weight": "loss.sigreg.weight",
    "invariance.color_weight": "loss.invariance.color",
    "invariance.translation_weight": "loss.invariance.translation",
    "invariance.symmetry_weight": "loss.invariance.symmetry",
    "relational_loss.weight": "loss.relational.weight",
    "patience": "early_stop.patience",
}
RATE_TARGETS = {"agg_out": "z_agg", "z_t": "z", "both": "both"}


def overrides_for_hydra(args: Sequence[str]) -> list[str]:
    """Returns the arguments in the form that Hydra reads: flags first, today's names,
    `experiment=x` as `+experiment=x`. Prints a line for each translated name. Raises UserError for
    a wrong flag, for removed keys, and for overrides that contradict each other."""
    flags, overrides = split_flags(without_dashes(args))
    given = check_flags(flags)
    check_form(overrides)
    check_removed(overrides)
    refuse_classes(overrides)
    overrides, lines = translate(overrides)
    for line in lines:
        say(line)
    overrides = [f"+{a}" if a.startswith("experiment=") else a for a in overrides]
    check_stacked(overrides)
    check_options(overrides)
    overrides = overrides_for_comparison(overrides)
    overrides = _of_every_job(overrides) if given.multirun else overrides
    return [*flags, *with_folder(overrides, config_dir(flags))]


def with_folder(overrides: Sequence[str], folder: str | None, itself: bool = False) -> list[str]:
    """Returns the overrides with the folder of a user's auxiliary losses added to Hydra's search
    path. --config-dir alone does not find these losses, since the folder of the group aux has
    another name. `itself` adds `folder` itself too, for calls without --config-dir."""
    paths = [] if folder is None else folder_paths(folder, itself)
    if not paths:
        return list(overrides)
    given = [path for override in overrides for path in paths_of(override)]
    others = [override for override in overrides if not override.startswith(SEARCH_PATH)]
    return [*others, f"{SEARCH_PATH}[{','.join(dict.fromkeys([*given, *paths]))}]"]


def paths_of(override: str) -> list[str]:
    """Returns the entries of an override of Hydra's search path, [] for any other override."""
    if not override.startswith(SEARCH_PATH):
        return []
    listed = override.removeprefix(SEARCH_PATH).strip("[]").split(",")
    return [path.strip() for path in listed if path.strip()]


def folder_paths(folder: str, itself: bool = False) -> list[str]:
    """Returns the entries of Hydra's search path for a user's folder."""
    place = Path(folder).absolute()
    losses = [f"{AUX_FOLDER}://{place}"] if (place / AUX_FOLDER).is_dir() else []
    return [*([f"file://{place}"] if itself else []), *losses]


def config_dir(args: Sequence[str]) -> str | None:
    """Returns the folder given as --config-dir, None if there is none. Raises UserError for an
    empty one, which Hydra would ignore."""
    for at, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if name in ("--config-dir", "-cd"):
            return not_empty(name, value if equals else next(iter(args[at + 1 :]), None))
    return None


def _of_every_job(overrides: list[str]) -> list[str]:
    """Returns the overrides of a sweep over experiments with every key written as ++key. Hydra
    first reads them without any experiment, where the keys of single studies do not exist. The
    check of each job refuses the keys that its study lacks."""
    swept = [a.partition("=")[2] for a in overrides if a.startswith("+experiment=")]
    if not any("," in value or "(" in value for value in swept):
        return overrides
    known = keys_of(conf_dir())
    return [f"++{override}" if _is_key(override, known) else override for override in overrides]


def _is_key(override: str, known: set[str]) -> bool:
    """Returns whether an override sets a key that Hydra may not know yet: it has no sign and is
    neither a group nor a key of Hydra."""
    key, equals, _ = override.partition("=")
    if not equals or key[0] in "+~-" or "/" in key or key.startswith("hydra"):
        return False
    return "." in key or key not in known


def translate(overrides: list[str]) -> tuple[list[str], list[str]]:
    """Returns (overrides with today's names, one line for each that changed). An override may be a
    sweep, `model.teacherless=true,false`. Raises UserError for an old flag with an invalid value,
    and for flags that contradict each other or their new names."""
    new: list[str] = []
    lines: list[str] = []
    given = {_key(override): _values(override) for override in overrides if "=" in override}
    if "model.ema" in given and "model.teacherless" in given:
        _require_one_meaning(given["model.ema"], given["model.teacherless"])
    for override in overrides:
        translated = _translated(override, given)
        if translated != override:
            lines.append(f"{override} is now {translated}")
        if translated not in new:
            new.append(translated)
    return new, lines


def _translated(override: str, given: dict[str, list[str]]) -> str:
    key, values = _key(override), _values(override)
    if key in RENAMED:
        return _native(override, RENAMED[key], values, given)
    if key == "loss.rate_target" and any(v in ("agg_out", "z_t") for v in values):
        return f"{key}={','.join(RATE_TARGETS.get(v, v) for v in values)}"
    if key in ("model.teacherless", "model.ema"):
        other = given.get("model.ema", []) if key == "model.teacherless" else []
        flags = [_flag(override, v) for v in values]
        ema = [not f for f in flags] if key == "model.teacherless" else flags
        if other:  # both flags are given without contradiction; model.ema decides
            ema = [_flag("model.ema", v) for v in other]
        return _native(override, "target", ["ema" if e else "stopgrad" for e in ema], given)
    if key == "loss.rate_loss_enabled":
        return _rate_enabled(override, [_flag(override, v) for v in values], given)
    return override


def _rate_enabled(override: str, flags: list[bool], given: dict[str, list[str]]) -> str:
    weights = given.get("loss.lambda_rate")
    if weights is None:
        return "loss.lambda_rate=" + ",".join("${recipe.lambda_rate}" if f else "0" for f in flags)
    if len(flags) > 1 or any((_number(weight) != 0) != flags[0] for weight in weights):
        raise UserError(
            f"{override} and loss.lambda_rate={','.join(weights)} contradict; give loss.lambda_rate"
            " alone"
        )
    return f"loss.lambda_rate={','.join(weights)}"


def _native(override: str, key: str, values: list[str], given: dict[str, list[str]]) -> str:
    if key in given and given[key] != values:
        raise UserError(f"{override} and {key}={','.join(given[key])} contradict; give {key} alone")
    return f"{key}={','.join(values)}"


def _require_one_meaning(ema: list[str], teacherless: list[str]) -> None:
    flags = (
        [_flag("model.ema", v) for v in ema],
        [_flag("model.teacherless", v) for v in teacherless],
    )
    if flags[0] != [not f for f in flags[1]] and (
        len(ema) > 1 or len(teacherless) > 1 or all(map(all, flags))
    ):
        both = f"model.ema={','.join(ema)} and model.teacherless={','.join(teacherless)}"
        raise UserError(f"{both} contradict; give target=ema or target=stopgrad")


def _flag(override: str, value: str) -> bool:
    if value.lower() not in TRUE + FALSE:
        raise UserError(f"{override}: expected true or false")
    return value.lower() in TRUE


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0  # an interpolation or a range, counted as a weight above 0


def _key(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+")


def _values(override: str) -> list[str]:
    return override.split("=", 1)[1].split(",") if "=" in override else []


def check_stacked(overrides: Sequence[str]) -> None:
    """Raises UserError for a list of auxiliary losses that contains a duplicate, `none` or another
    list. Overrides that Hydra cannot parse are left to Hydra's own error."""
    for override in overrides:
        if not override.lstrip("+").startswith("aux="):
            continue
        try:
            value = OverridesParser.create().parse_override(override).value()
        except HydraException:
            continue
        for losses in value.list if isinstance(value, ChoiceSweep) else [value]:
            if isinstance(losses, list):
                _check([_plain(loss) for loss in losses])


def _check(losses: list[Any]) -> None:
    listed = f"aux=[{','.join(map(str, losses))}]"
    if any(isinstance(loss, list) for loss in losses):
        raise UserError(f"{listed}: lists cannot be nested; give one list, as aux=[vicreg,sigreg]")
    if "none" in losses and len(losses) > 1:
        raise UserError(f"{listed}: none cannot be combined with a loss; leave it out")
    twice = next((loss for loss in losses if losses.count(loss) > 1), None)
    if twice is not None:
        raise UserError(
            f"{listed}: {twice} is given twice; list it once and set aux.{twice}.weight instead"
        )


def _plain(loss: Any) -> Any:
    return loss.text if isinstance(loss, QuotedString) else loss


SWEEPER = "aux_comparison"


def overrides_for_comparison(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides of a comparison, where keys of a loss get ++, as in
    ++aux.vicreg.eps=1e-3. Hydra first reads them without any arm, where such a key does not exist.
    The jobs of the arm get the override as typed, and are checked. Other overrides are
    unchanged."""
    if not is_comparison(overrides):
        return list(overrides)
    return [f"++{o}" if o.startswith("aux.") and "=" in o else o for o in overrides]


def is_comparison(overrides: Sequence[str]) -> bool:
    """Returns whether the overrides select the sweeper of the comparison, directly or by an
    experiment of conf/. A single run of a comparison (hydra.mode=RUN) does not count."""
    if "hydra.mode=RUN" in overrides:
        return False
    if f"hydra/sweeper={SWEEPER}" in overrides:
        return True
    experiments = [o.partition("=")[2] for o in overrides if o.startswith("+experiment=")]
    return any(_compares(experiment) for experiment in experiments)


def _compares(experiment: str, within: tuple[str, ...] = ()) -> bool:
    if experiment in within:
        return False  # Hydra reports experiments that list each other
    try:
        content = experiment_content(experiment)
    except (OSError, ValueError, yaml.YAMLError):
        return False  # Hydra reports the error
    defaults = content.get("defaults", []) if isinstance(content, dict) else []
    return any(
        (
            entry.get("override /hydra/sweeper") == SWEEPER
            if isinstance(entry, dict)
            else entry != "_self_" and _compares(str(entry), (*within, experiment))
        )
        for entry in defaults
    )
