"""The work of `jepa_lab.report` on the folder of one run: its figures and its page."""

from __future__ import annotations

from pathlib import Path

from jepa_lab.cli.diagnosing import composes
from jepa_lab.studies import study_of_run


def draw_page(folder: Path) -> Path:
    """Draws the figures and the page of a run, and returns the path of the page. Raises UserError
    if its metrics are missing or damaged."""
    return study_of_run(folder).study.draw(folder, composes)
