"""The hint to quote a value that Hydra's grammar would read as more than text."""

from __future__ import annotations

import re
import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

OPENING = ("[", "{", "(")


def cannot_be_parsed(override: str) -> str:
    """Returns one line for an override that cannot be parsed, with the override that would set the
    value as text. Returns "" for an override that quotes do not mend."""
    key, _, value = override.partition("=")
    if value.startswith("~/"):
        whole = f"{key}=$HOME{value[1:]}"
        return f"{override}: ~ is not replaced there; give the whole path, as in {whole}"
    example = quoted(override)
    if not example:
        return ""
    bracket = "close every bracket, or " if value.startswith(OPENING) else ""
    return f"{override}: cannot be parsed; {bracket}quote the value, as in {example}"


def several_values(override: str) -> str:
    """Returns one line for a comma outside a sweep."""
    key, _, value = override.partition("=")
    return (
        f"{override}: several values, which need -m (a sweep), or a list, as in"
        f" {shlex.quote(f'{key}=[{value}]')}; for one value with a comma, quote the value, as in"
        f" {quoted(override)}"
    )


def quoted(override: str) -> str:
    """Returns the override, quoted for Hydra and for a shell, so that its value is text. Returns ""
    if Hydra cannot parse even that."""
    key, _, value = override.partition("=")
    if not value:
        return ""
    # as Hydra escapes a quote and the backslashes before it
    text = re.sub(r'(\\*)"', r'\1\1\\"', value)
    text = re.sub(r"(\\+)$", r"\1\1", text)
    try:
        OverridesParser.create().parse_override(f'{key}="{text}"')
    except HydraException:
        return ""
    return shlex.quote(f'{key}="{text}"')
