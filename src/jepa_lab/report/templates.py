"""Renders pages from templates. Every value is escaped, and a page needs no other file."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

OURS = "jepa_lab.report"


def render(template: str, package: str = OURS, **values: Any) -> str:
    """Returns a template of `page_parts` in the package, filled with `values`. A template can
    extend those of jepa_lab.report."""
    return _environment(package).get_template(template).render(values)


def inline_json(data: Any) -> Markup:
    """Returns the data as JSON with escapes for the characters that could end a script element.
    Raises ValueError for numbers that are not finite."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in ("<", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@cache
def _environment(package: str) -> Environment:
    loaders = [PackageLoader(name, "page_parts") for name in dict.fromkeys((package, OURS))]
    return Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
