"""report.html of a comparison: data, style and code in one file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.report.templates import inline_json, render


def write_comparison_page(path: Path, data: Mapping[str, Any], text: str, title: str) -> Path:
    """Writes the page to `path` and returns it. A browser without JavaScript shows `text`, the
    summary. Raises OSError if the file cannot be written."""
    page = render(
        "page.html", "jepa_lab.report.comparison", title=title, text=text, data=inline_json(data)
    )
    write_atomic(path, page)
    return path
