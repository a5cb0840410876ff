"""Renders pages from templates. Every value is escaped, and a page needs no other file."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

OURS = "jepa_lab.report"


def render(template: str, package: str = OURS, **values: Any) -> str:
    """Returns a template of `page_parts` in the package, filled with `values`. A template can
    extend those of jepa_lab.report."""
    return _environment(package).get_template(template).render(values)


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
