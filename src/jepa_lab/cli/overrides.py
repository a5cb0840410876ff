"""The overrides of a command line before Hydra reads them: older flag names translated, auxiliary
losses and keys of single jobs in the form that Hydra takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import HydraException

from jepa_lab.config.groups import AUX_FOLDER, conf_dir, keys_of
from jepa_lab.errors import UserError, say

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
RENAMED = {
    "eval.subspace_enabled": "monitor.subspace",
    "seq_len": "dataset.seq_len",
    # of the public ARC JEPA and of the plan of its authors
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
    """The arguments in today's spelling: older flag names translated, each with a line, flags to
    the front (Hydra wants them together), `experiment=x` as `+experiment=x`. UserError for
    overrides that contradict each other."""
    flags, words = _flags(args)
    words, lines = translate(words)
    for line in lines:
        say(line)
    words = [f"+{a}" if a.startswith("experiment=") else a for a in words]
    check_stacked(words)
    words = words_for_comparison(words)
    multirun = any(flag in ("-m", "--multirun") for flag in flags)
    words = _of_every_job(words) if multirun else words
    return [*flags, *with_folder(words, config_dir(flags))]


def _flags(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """(flags, with the value that follows --config-dir; everything else)."""
    flags: list[str] = []
    words: list[str] = []
    rest = iter(args)
    for word in rest:
        if word in ("-m", "--multirun") or word.startswith("--config-dir="):
            flags.append(word)
        elif word in ("--config-dir", "-cd"):
            flags += [word, *(value for value in [next(rest, None)] if value is not None)]
        else:
            words.append(word)
    return flags, words


SEARCHPATH = "hydra.searchpath="


def with_folder(words: Sequence[str], folder: str | None, itself: bool = False) -> list[str]:
    """The words with the auxiliary losses of a user's folder on Hydra's search path: --config-dir
    alone would not find them, for their group's folder is not called aux. `itself`: with the folder
    too, where no --config-dir adds it."""
    paths = [] if folder is None else folder_paths(folder, itself)
    if not paths:
        return list(words)
    given = [path for word in words for path in paths_of(word)]
    others = [word for word in words if not word.startswith(SEARCHPATH)]
    return [*others, f"{SEARCHPATH}[{','.join(dict.fromkeys([*given, *paths]))}]"]


def paths_of(word: str) -> list[str]:
    """The entries of an override of Hydra's search path; none of another override."""
    listed = (
        word.removeprefix(SEARCHPATH).strip("[]").split(",") if word.startswith(SEARCHPATH) else []
    )
    return [path.strip() for path in listed if path.strip()]


def folder_paths(folder: str, itself: bool = False) -> list[str]:
    """The entries of Hydra's search path for a user's folder."""
    place = Path(folder).absolute()
    losses = [f"{AUX_FOLDER}://{place}"] if (place / AUX_FOLDER).is_dir() else []
    return [*([f"file://{place}"] if itself else []), *losses]


def config_dir(args: Sequence[str]) -> str | None:
    """The folder given as --config-dir; None without."""
    for at, word in enumerate(args):
        if word in ("--config-dir", "-cd"):
            return args[at + 1] if at + 1 < len(args) else None
        if word.startswith("--config-dir="):
            return word.partition("=")[2]
    return None


def _of_every_job(words: list[str]) -> list[str]:
    """The overrides of a sweep over experiments, which Hydra reads once without any experiment:
    keys that only some studies have do not exist there, so every key is written ++key. The check of
    each job refuses those it lacks."""
    swept = [a.partition("=")[2] for a in words if a.startswith("+experiment=")]
    if not any("," in value or "(" in value for value in swept):
        return words
    known = keys_of(conf_dir())
    return [f"++{word}" if _is_key(word, known) else word for word in words]


def _is_key(word: str, known: set[str]) -> bool:
    """Whether an override sets a key that Hydra may not know yet: neither a group, nor its own, nor
    signed."""
    key, equals, _ = word.partition("=")
    if not equals or key[0] in "+~-" or "/" in key or key.startswith("hydra"):
        return False
    return "." in key or key not in known


def translate(words: list[str]) -> tuple[list[str], list[str]]:
    """(today's words, one line for each that changed). A word may be a sweep,
    `model.teacherless=true,false`.

    UserError for an old flag whose value is none, and for flags that contradict each other or their
    new names.
    """
    new: list[str] = []
    lines: list[str] = []
    given = {_key(word): _values(word) for word in words if "=" in word}
    if "model.ema" in given and "model.teacherless" in given:
        _require_one_meaning(given["model.ema"], given["model.teacherless"])
    for word in words:
        translated = _translated(word, given)
        if translated != word:
            lines.append(f"{word} is now {translated}")
        if translated not in new:
            new.append(translated)
    return new, lines


def _translated(word: str, given: dict[str, list[str]]) -> str:
    key, values = _key(word), _values(word)
    if key in RENAMED:
        return _native(word, RENAMED[key], values, given)
    if key == "loss.rate_target" and any(v in ("agg_out", "z_t") for v in values):
        return f"{key}={','.join(RATE_TARGETS.get(v, v) for v in values)}"
    if key in ("model.teacherless", "model.ema"):
        other = given.get("model.ema", []) if key == "model.teacherless" else []
        flags = [_flag(word, v) for v in values]
        ema = [not f for f in flags] if key == "model.teacherless" else flags
        if other:  # both were given and agree: the one about the teacher itself decides
            ema = [_flag("model.ema", v) for v in other]
        return _native(word, "target", ["ema" if e else "stopgrad" for e in ema], given)
    if key == "loss.rate_loss_enabled":
        return _rate_enabled(word, [_flag(word, v) for v in values], given)
    return word


def _rate_enabled(word: str, flags: list[bool], given: dict[str, list[str]]) -> str:
    weights = given.get("loss.lambda_rate")
    if weights is None:
        return "loss.lambda_rate=" + ",".join("${recipe.lambda_rate}" if f else "0" for f in flags)
    if len(flags) > 1 or any((_number(weight) != 0) != flags[0] for weight in weights):
        raise UserError(
            f"{word} and loss.lambda_rate={','.join(weights)} contradict; give loss.lambda_rate"
            " alone"
        )
    return f"loss.lambda_rate={','.join(weights)}"


def _native(word: str, key: str, values: list[str], given: dict[str, list[str]]) -> str:
    if key in given and given[key] != values:
        raise UserError(f"{word} and {key}={','.join(given[key])} contradict; give {key} alone")
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


def _flag(word: str, value: str) -> bool:
    if value.lower() not in TRUE + FALSE:
        raise UserError(f"{word}: expected true or false")
    return value.lower() in TRUE


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0  # an interpolation or a range: some weight


def _key(word: str) -> str:
    return word.split("=", 1)[0].lstrip("+")


def _values(word: str) -> list[str]:
    return word.split("=", 1)[1].split(",") if "=" in word else []


def check_stacked(words: Sequence[str]) -> None:
    """UserError for arms stacked with themselves, with none, or in lists of lists. What Hydra
    cannot read it says."""
    for word in words:
        if not word.lstrip("+").startswith("aux="):
            continue
        try:
            value = OverridesParser.create().parse_override(word).value()
        except HydraException:
            continue
        for arms in value.list if isinstance(value, ChoiceSweep) else [value]:
            if isinstance(arms, list):
                _check([_plain(arm) for arm in arms])


def _check(arms: list[Any]) -> None:
    listed = f"aux=[{','.join(map(str, arms))}]"
    if any(isinstance(arm, list) for arm in arms):
        raise UserError(f"{listed}: arms stand in one list, as aux=[vicreg,sigreg]")
    if "none" in arms and len(arms) > 1:
        raise UserError(f"{listed}: none is no loss that could be stacked; leave it out")
    twice = next((arm for arm in arms if arms.count(arm) > 1), None)
    if twice is not None:
        raise UserError(
            f"{listed}: {twice} is given twice; its keys are aux.{twice}.weight and the like"
        )


def _plain(arm: Any) -> Any:
    return arm.text if isinstance(arm, QuotedString) else arm


SWEEPER = "aux_comparison"


def words_for_comparison(words: Sequence[str]) -> list[str]:
    """`aux.vicreg.eps=1e-3` of a comparison as ++aux.vicreg.eps=1e-3: Hydra reads the line once
    without any arm, where that key does not exist. The jobs that have the arm get it as it was
    written, and are checked. Other lines stay."""
    if not is_comparison(words):
        return list(words)
    return [f"++{word}" if word.startswith("aux.") and "=" in word else word for word in words]


def is_comparison(words: Sequence[str]) -> bool:
    """Whether the line names the sweeper of the comparison, or an experiment of conf/ that does;
    not one single run of it (hydra.mode=RUN)."""
    if "hydra.mode=RUN" in words:
        return False
    if f"hydra/sweeper={SWEEPER}" in words:
        return True
    return any(
        _compares(word.partition("=")[2]) for word in words if word.startswith("+experiment=")
    )


def _compares(experiment: str) -> bool:
    try:
        content = yaml.safe_load(
            (conf_dir() / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8")
        )
    except (OSError, ValueError, yaml.YAMLError):
        return False  # Hydra will say what is wrong with it
    defaults = content.get("defaults", []) if isinstance(content, dict) else []
    return any(
        (
            entry.get("override /hydra/sweeper") == SWEEPER
            if isinstance(entry, dict)
            else entry != "_self_" and _compares(str(entry))
        )
        for entry in defaults
    )
