"""Turns an error of Hydra or omegaconf into one line about the command line."""

from __future__ import annotations

import re
import traceback
from dataclasses import fields

from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from jepa_lab.cli.quoting import cannot_be_parsed, several_values
from jepa_lab.config.groups import conf_dir, folder_of, groups_of, keys_of, options_of
from jepa_lab.config.messages import describe
from jepa_lab.errors import UserError, nearest
from jepa_lab.studies import find

# omegaconf's error for seeds.nope=3, where seeds is a list
OF_A_PLACE = re.compile(r"invalid literal for int\(\) with base 10: (.*)")


def is_from_hydra(error: BaseException) -> bool:
    """Returns whether code of Hydra raised the error, and not code of this package. Such an error
    is about an override or a YAML file of the user, whatever its type."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    module = frames[-1].f_globals.get("__name__", "") if frames else ""
    return str(module).partition(".")[0] in ("hydra", "omegaconf", "antlr4")


def one_line(error: BaseException) -> str:
    """Returns what is wrong and what would be right."""
    missing = getattr(error, "missing_cfg_file", None)
    if missing:
        group, _, option = str(missing).rpartition("/")
        if not group:
            return f"--config-name {option}: no such configuration"
        options = list(getattr(error, "options", None) or options_of(folder_of(conf_dir(), group)))
        return f"{group}={option}: no such option{nearest(option, options)}"
    for cause in (error.__cause__, error):
        if isinstance(cause, OmegaConfBaseException):
            return _group_of_another_study(cause) or describe(cause)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if "does not support sweep type" in text:
        return (
            "interval(...): only a sweeper that draws its values takes it; list values, as in 0,1"
        )
    if found := OF_A_PLACE.fullmatch(text):
        return f"{found[1]}: no place in a list; give the whole list, as in key=[...]"
    override = getattr(error, "override", None)
    if text.startswith("LexerNoViableAlt"):  # usually a character outside ASCII
        override, text = text.partition(": ")[2], "unknown character"
    if text.startswith("Ambiguous value for argument '"):
        return several_values(text.split("'", 1)[1].removesuffix("'"))
    hint = cannot_be_parsed(str(override)) if override else ""
    if hint:
        return hint
    if "Could not override" in text and override is None:
        unknown = text.split("'")[1] if "'" in text else text
        return (
            f"{unknown}: no such key or"
            f" group{nearest(unknown.split('.')[0], groups_of(conf_dir()))}"
        )
    return f"{override}: {text}" if override and str(override) not in text else text


def _group_of_another_study(error: OmegaConfBaseException) -> str:
    """Returns a message for a key in a group that the experiment's study lacks, "" for any other
    error."""
    parent = getattr(error, "parent_node", None)
    key = str(getattr(error, "full_key", None) or getattr(error, "key", None) or "")
    group = key.split(".")[0]
    if not isinstance(error, (ConfigAttributeError, ConfigKeyError)) or parent is None:
        return ""
    try:
        kind = find(parent._get_root().get("study")).config
    except UserError:
        return ""
    others = keys_of(conf_dir()) - {own.name for own in fields(kind)}
    return f"{group}: {kind.lacks}" if group in others - {"hydra"} else ""
