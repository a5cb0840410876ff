"""The study of the ARC JEPA."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from matplotlib.figure import Figure

from jepa_lab.report.figures import write_figure
from jepa_lab.studies.arc import callbacks, parts
from jepa_lab.studies.arc.build import begin_codebook, build_module
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.data.task import TaskSplits
from jepa_lab.studies.arc.outcome import example_rows, examples_figure
from jepa_lab.studies.arc.preflight import run_preflight
from jepa_lab.studies.arc.preview import arc_preview
from jepa_lab.studies.arc.remedies import ArcRemedies
from jepa_lab.studies.arc.resume import ArcPlanner, data_notes
from jepa_lab.training.budget import build_budget
from jepa_lab.training.preflight import Preflight
from jepa_lab.training.study import Fit, Parts, Session
from jepa_lab.training.trained_study import TrainedStudy


class ArcStudy(ArcPlanner, TrainedStudy):
    """Builds the parts of a run of the ARC JEPA: loaders, module, callbacks, preflight, reports."""

    remedies = ArcRemedies()
    expected_by = ("dataset", "tier")

    def preview(self, config: ArcConfig, rows: int) -> Figure:
        return arc_preview(config, rows)

    def build(self, config: ArcConfig, data: TaskSplits) -> Parts:
        self.require_fit(config, data)
        pl.seed_everything(config.seed, verbose=False)
        tokeniser = parts.build_tokeniser(config.dataset)
        loaders: dict[str, Any] = {**parts.build_loaders(config, data, tokeniser)}
        parts.require_tokens(config, loaders["train"])
        budget = build_budget(config, len(loaders["train"]))
        places = len(loaders["train"].examples.roles)
        module = build_module(config, tokeniser, places, budget.steps)
        begin_codebook(module, loaders["train"])
        return Parts(loaders, budget, module)

    def preflight(self, config: ArcConfig, data: TaskSplits, parts: Parts) -> Preflight:
        return run_preflight(config, parts)

    def build_callbacks(self, session: Session) -> list[Any]:
        return callbacks.build_callbacks(session, self.judge_of(session.config))

    def best_key(self, config: ArcConfig, data: TaskSplits) -> str:
        return parts.best_key(config)

    def protocol(self, config: ArcConfig, data: TaskSplits) -> dict[str, Any]:
        return {
            "train_tasks": len(data.train),
            "val_tasks": len(data.val),
            "test_tasks": len(data.test),
            "split": "by task: no task is in two splits",
            "checkpoint": "last",
            "seed": config.seed,
        }

    def remark(self, config: ArcConfig, data: TaskSplits, parts: Parts) -> str | None:
        """Returns the notes on tasks that are fewer than wanted and on tasks that yield no
        examples, None without notes."""
        omitted = [loader.examples.note for loader in parts.loaders.values()]
        return "; ".join(filter(None, [*data_notes(config, data), *omitted])) or None

    def pictures(self, session: Session, fit: Fit) -> dict[str, Any]:
        return {"examples": example_rows(session.parts.loaders["val"].examples)}

    def draw_pictures(self, pictures: Mapping[str, Any], figures: Path) -> dict[str, Any]:
        write_figure(lambda: examples_figure(pictures["examples"]), figures / "examples.png")
        return {}


STUDY = ArcStudy()
