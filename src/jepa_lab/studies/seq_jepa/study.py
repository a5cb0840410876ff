"""The study of seq-JEPA: sequences of views of an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from matplotlib.figure import Figure

from jepa_lab.data.images.image_source import Splits
from jepa_lab.report.figures import views_figure
from jepa_lab.studies.seq_jepa import callbacks, parts
from jepa_lab.studies.seq_jepa.build import build_module
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.factor_sweeps import FactorSweeps
from jepa_lab.studies.seq_jepa.metric_availability import missing
from jepa_lab.studies.seq_jepa.outcome import draw_pictures, example_views, pictures_of
from jepa_lab.studies.seq_jepa.preflight import run_preflight
from jepa_lab.studies.seq_jepa.resume import SeqJEPAPlanner, class_protocol, data_notes
from jepa_lab.training.budget import build_budget
from jepa_lab.training.preflight import Preflight
from jepa_lab.training.study import Fit, Parts, Session
from jepa_lab.training.trained_study import TrainedStudy

NO_LABELS = "no labels: class probes are off"


class SeqJEPAStudy(SeqJEPAPlanner, TrainedStudy):
    """The data, module, callbacks and results of a seq-JEPA run."""

    expected_by = ("recipe", "dataset", "tier")

    def preview(self, config: Config, rows: int) -> Figure:
        images = self.load(config).train
        group = parts.build_views(config, images)
        views, captions = example_views(group, images, config.seed, n=rows, split="train")
        return views_figure(views, captions, rows=rows)

    def unmeasured(self, config: Config, metric: str) -> str:
        images = self.load(config).train
        return missing(metric, images.n_classes, parts.build_views(config, images))

    def build(self, config: Config, data: Splits) -> Parts:
        group = self.fitting_views(config, data)
        pl.seed_everything(config.seed, verbose=False)
        loaders: dict[str, Any] = {**parts.build_loaders(config, data)}
        budget = build_budget(config, len(loaders["train"]))
        module = build_module(config, group, data.train, budget.steps)
        return Parts(loaders, budget, module)

    def preflight(self, config: Config, data: Splits, parts: Parts) -> Preflight:
        return run_preflight(config, data, parts.module, parts.budget)

    def build_callbacks(self, session: Session) -> list[Any]:
        judge = self.judge_of(session.config)
        best = self.best_key(session.config, session.data)
        return callbacks.build_callbacks(session, best, judge)

    def best_key(self, config: Config, data: Splits) -> str:
        """Returns the configured metric. The default is the class probe, or the action probe if the
        images have no labels."""
        return parts.best_key(config, data.train.n_classes)

    def protocol(self, config: Config, data: Splits) -> dict[str, Any]:
        return {
            "train_images": len(data.train.images),
            "val_images": len(data.val.images),
            "test_images": len(data.test.images),
            "checkpoint": "last",
            "probes": (
                "online: one step per training batch on detached features, fixed evaluation views"
            ),
            "seed": config.seed,
            **class_protocol(data),
        }

    def remark(self, config: Config, data: Splits, parts: Parts) -> str | None:
        notes = data_notes(config, data)
        return "; ".join(notes if data.train.n_classes else [NO_LABELS, *notes]) or None

    def pictures(self, session: Session, fit: Fit) -> dict[str, Any]:
        sweeps = next((c.result for c in fit.callbacks if isinstance(c, FactorSweeps)), None)
        group, source = session.parts.module.group, session.data.val
        return pictures_of(group, source, session.config.seed, sweeps)

    def draw_pictures(self, pictures: Mapping[str, Any], figures: Path) -> dict[str, Any]:
        return draw_pictures(pictures, figures)


STUDY = SeqJEPAStudy()
