"""The data that a page of a report draws."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest


def page_data(page: Path) -> dict[str, Any]:
    """Returns the JSON data in the page."""

    class Reader(HTMLParser):
        inside, text = False, ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.inside = dict(attrs).get("id") == "data"

        def handle_data(self, data: str) -> None:
            self.text += data if self.inside else ""

    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return json.loads(reader.text, parse_constant=pytest.fail)
