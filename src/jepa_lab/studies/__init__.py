"""The studies: what each brings to a run is in its folder, found by the study of its configuration."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jepa_lab.training.study import Study


def study_of(config: Any) -> Study:
    """The study that a checked configuration belongs to."""
    name = "arc" if getattr(config, "study", None) == "arc" else "seq_jepa"
    study: Study = import_module(f"jepa_lab.studies.{name}.study")
    return study
