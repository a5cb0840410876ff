"""report.html of a comparison: data, style and code in one file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.report.templates import render


def write_comparison_page(path: Path, data: Mapping[str, Any], text: str, title: str) -> Path:
    """Writes the page to `path` and returns it. A browser without JavaScript shows `text`, the
    summary. Raises OSError if the file cannot be written."""
    page = render(
        "page.html", "jepa_lab.report.comparison", title=title, text=text, data=_inline(data)
    )
    write_atomic(path, page)
    return path


def _inline(data: Mapping[str, Any]) -> Markup:
    """Returns the data as JSON with escapes for the characters that could end a script element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in ("<", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
