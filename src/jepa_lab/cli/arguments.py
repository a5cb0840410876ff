"""Checks the arguments of a run or a sweep before Hydra reads them, and puts flags first."""

from __future__ import annotations

import types
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.errors import HydraException

from jepa_lab.config.groups import conf_dir, groups_of
from jepa_lab.errors import UserError
from jepa_lab.process.command import with_hint
from jepa_lab.studies import studies

# types of a parsed value that name no option; a mapping instead of a name sets keys of the group
NO_NAMES = (bool, int, float, list)


def split_flags(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns (flags, overrides). The value that follows a flag belongs to the flags. --info alone
    gets its default, or Hydra would take the first override as its value."""
    actions = get_args_parser()._actions
    known = {name: action for action in actions for name in action.option_strings}
    flags: list[str] = []
    overrides: list[str] = []
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        if not arg.startswith("-"):
            overrides.append(arg)
            continue
        flags.append(arg)
        value = rest[0] if rest and not rest[0].startswith("-") else None
        values = known[arg].nargs if arg in known else 0  # None: one, "?": one or none
        if value is not None and (values is None or (values == "?" and _is_word(value))):
            flags.append(rest.pop(0))
        elif values == "?":
            flags.append(known[arg].const)
    return flags, overrides


def check_flags(flags: Sequence[str]) -> Namespace:
    """Returns the flags as Hydra reads them. Raises UserError for an unknown flag, for a missing or
    invalid value, and for a flag that has no effect beside the others."""

    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise UserError(with_hint(message, parser))

    parser.allow_abbrev = False
    parser.error = refuse  # type: ignore[method-assign]
    given = parser.parse_args(list(flags))
    if given.package is not None and given.cfg is None:
        raise UserError(f"--package {given.package}: only --cfg reads it, as in --cfg job")
    if given.experimental_rerun is not None:
        raise UserError(
            "--experimental-rerun: runs keep no pickled configuration; repeat the overrides in the"
            " run's overrides.yaml"
        )
    return given


def check_removed(overrides: Sequence[str]) -> None:
    """Raises UserError for ~key if a study reads the key. It would fall back to a default that the
    configuration does not show."""
    for override in overrides:
        key = override.removeprefix("~").partition("=")[0].partition("@")[0].replace("/", ".")
        if override.startswith("~") and any(
            _is_field(entry.config, key.split(".")) for entry in studies().values()
        ):
            raise UserError(
                f"~{key}: a run needs {key}; leave ~{key} out, or give {key} another value"
            )


def check_options(overrides: Sequence[str]) -> None:
    """Raises UserError for a group with a value that is no name of an option and no mapping of
    keys.

    Only the group aux takes a list of names. Hydra would fail with an error that names no key, or
    use the last name. Overrides that Hydra cannot parse are left to its own error.
    """
    groups = groups_of(conf_dir())
    for override in overrides:
        key, equals, _ = override.lstrip("+").partition("=")
        group = key.partition("@")[0]
        if not equals or group not in groups:
            continue
        try:
            value = OverridesParser.create().parse_override(override).value()
        except (HydraException, ValueError, RecursionError):
            continue
        for one in value.list if isinstance(value, ChoiceSweep) else [value]:
            names = one if isinstance(one, list) else [one]
            if len(names) != 1 and group != "aux":
                raise UserError(f"{override}: one option of the group {group} is needed, no list")
            if any(name is None or isinstance(name, NO_NAMES) for name in names) or "???" in names:
                raise UserError(
                    f"{override}: expected the name of an option of the group {group}, or a list of"
                    " names (--help lists them)"
                )


def _is_word(arg: str) -> bool:
    return "=" not in arg and not arg.startswith(("+", "~"))


def _is_field(kind: Any, names: Sequence[str]) -> bool:
    """Whether the names lead through dataclasses to a field that is no mapping of names."""
    for name in names:
        if not is_dataclass(kind) or name not in {f.name for f in fields(kind)}:
            return False
        kind = _type_of(get_type_hints(kind)[name])
    return get_origin(kind) is not dict


def _type_of(hint: Any) -> Any:
    """Returns the type of a field without None."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    return next(arg for arg in get_args(hint) if arg is not types.NoneType)
