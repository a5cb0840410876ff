"""report.html of a comparison: data, style and code in one file, which opens offline and fetches nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from jepa_lab.ledger.atomic import write_atomic

SCRIPTS = ("common.js", "charts.js", "tables.js", "page.js")


def write_comparison_page(path: Path, data: Mapping[str, Any], text: str, title: str) -> Path:
    """Writes the page to `path` and returns it. `text`: the summary, for a browser without JavaScript. OSError."""
    parts = {
        "title": escape(title),
        "style": _part("page.css"),
        "text": escape(text),
        "data": _inline(data),
        "script": "\n".join(map(_part, SCRIPTS)),
    }
    rest, pieces = _part("page.html"), []
    for name, content in parts.items():  # in the page's order: what was put in is not searched for the next
        head, rest = rest.split("{{" + name + "}}", 1)
        pieces += [head, content]
    write_atomic(path, "".join([*pieces, rest]))
    return path


def _inline(data: Mapping[str, Any]) -> str:
    """JSON that can stand inside a script element: without the characters that could end it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _part(name: str) -> str:
    return files("jepa_lab.report.comparison").joinpath("page_parts", name).read_text(encoding="utf-8")
