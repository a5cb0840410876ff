"""Overrides written as options, as the agents of hosted sweeps and argparse write them: --key=value
is taken as key=value. Other forms get one line that shows the right one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from hydra._internal.utils import get_args_parser

from jepa_lab.errors import UserError, nearest

LONG_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212"  # as word processors write them
OPTION = re.compile(r"--?([A-Za-z_][\w.@/-]*)(=.*)?", re.DOTALL)
CLOSE = 0.85  # likeness from which a name with dashes is a mistyped option of Hydra


def without_dashes(args: Sequence[str]) -> list[str]:
    """Returns the arguments with --key=value as key=value. Hydra's own options stay as they are.

    Raises UserError for a key whose value follows without `=`, as in `--seed 3`, for long dashes,
    and for a name that is nearly one of Hydra's options.
    """
    known = _of_hydra()
    found = []
    for at, arg in enumerate(args):
        if arg[:1] in LONG_DASHES and arg:
            raise UserError(f"{arg}: begins with a long dash; write {_ascii(arg)}")
        match = OPTION.fullmatch(arg)
        name = arg.partition("=")[0]
        if match is None or name in known:
            found.append(arg)
            continue
        key, value = match[1], match[2]
        if value is not None and arg.startswith("--"):
            _refuse_mistyped(arg, name, known)
            found.append(f"{_key(key)}{value}")
            continue
        after = args[at + 1] if at + 1 < len(args) else "-"
        if value is not None or not (after.startswith(("-", "+", "~")) or "=" in after):
            right = f"{_key(key)}{value if value is not None else f'={after}'}"
            raise UserError(f"{arg}: an override has no dashes; write {right}")
        found.append(arg)
    return found


def check_form(overrides: Sequence[str]) -> None:
    """Raises UserError for an override without `=`, or without a key."""
    for override in overrides:
        key, equals, _ = override.partition("=")
        if override.startswith("~") and not equals:
            continue
        if equals and not key.strip("+~ "):
            raise UserError(f"{override}: the key is missing; an override is key=value")
        if not equals:
            name, *rest = re.split(r"[:\s]\s*", override, maxsplit=1)
            example = f"{name or 'key'}={rest[0] if rest and rest[0] else 'VALUE'}"
            raise UserError(f"{override}: an override is key=value, as in {example}")


def _refuse_mistyped(arg: str, name: str, known: set[str]) -> None:
    close = get_close_matches(name, known, n=1, cutoff=CLOSE)
    if close:
        raise UserError(f"{arg}: no such option{nearest(name, known)}")


def _key(name: str) -> str:
    """Returns the key of an option. Keys have underscores, options often have dashes."""
    return name.replace("-", "_")


def _ascii(arg: str) -> str:
    rest = arg.lstrip(LONG_DASHES + "-")
    return rest if "=" in rest else f"{'-' if len(rest) == 1 else '--'}{rest}"


def _of_hydra() -> set[str]:
    return {name for action in get_args_parser()._actions for name in action.option_strings}
