"""The work of `jepa_lab.report` on the folder of one run: its figures and its page."""

from __future__ import annotations

import shlex
from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.studies import study_of_run
from jepa_lab.training.drawing import draw_run
from jepa_lab.training.trained_study import TrainedStudy


def draw_page(folder: Path) -> Path:
    """Draws the figures and the page of a run, and returns the path of the page. Raises UserError
    for a run of a study that draws its runs by another command."""
    entry = study_of_run(folder)
    study = entry.study
    if not isinstance(study, TrainedStudy):
        raise UserError(
            f"{folder}: a run of the {entry.config.title}; jepa-lab heatmaps"
            f" {shlex.quote(str(folder.parent))} draws its figures"
        )
    return draw_run(study, folder)
