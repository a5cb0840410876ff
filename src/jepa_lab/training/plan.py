"""What a configuration would do, without doing it: its images, its run's id and folder, and what is to be done there.

Imports torch but not Lightning, so that `jepa_lab.check` and a sweep's table answer soon.
"""

from __future__ import annotations

from typing import Any, overload

import yaml

from jepa_lab.config.check import to_yaml
from jepa_lab.data.images.image_source import Splits
from jepa_lab.errors import UserError
from jepa_lab.ledger.identity import run_id
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.studies.arc.build import build_tasks
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.data.task import TaskSplits
from jepa_lab.studies.seq_jepa.build import build_images
from jepa_lab.studies.seq_jepa.config import Config

Data = Splits | TaskSplits


@overload
def build_data(config: Config) -> Splits: ...
@overload
def build_data(config: ArcConfig) -> TaskSplits: ...
@overload
def build_data(config: Config | ArcConfig) -> Data: ...
def build_data(config: Config | ArcConfig) -> Data:
    """The images or tasks of the run. UserError if they are missing, broken or fewer than a batch."""
    return build_tasks(config) if isinstance(config, ArcConfig) else build_images(config)


def describe(data: Data) -> str:
    """How much there is in each split."""
    if isinstance(data, TaskSplits):
        counts = [len(split) for split in (data.train, data.val, data.test)]
        return "{:,} training, {:,} validation, {:,} test tasks".format(*counts)
    counts = [len(s.images) for s in (data.train, data.val, data.test)]
    classes = f"{data.train.n_classes} classes" if data.train.n_classes else "no labels"
    return "{:,} training, {:,} validation, {:,} test images, {}".format(*counts, classes)


def fingerprint(splits: Data) -> str:
    """Of the bytes of the images and labels, or of the tasks, of all three splits."""
    if isinstance(splits, TaskSplits):
        return splits.fingerprint()
    return "-".join(s.fingerprint() for s in (splits.train, splits.val, splits.test))


def identity(config: Config | ArcConfig, data: str) -> str:
    """The run's id: resolved configuration, the data's fingerprint, and the version of the results."""
    settings = yaml.safe_load(to_yaml(config))
    # the budget is resolved, data are known by their bytes
    for key in ("tiers", "usual_first_view", "root", "path", "saliency_path", "cache"):
        settings["dataset"].pop(key, None)
    if not settings.get("aux"):
        settings.pop("aux", None)  # a run without such a loss is the one that it was before there were any
    rate = settings.get("aux", {}).get("coding_rate", {})
    for key in [key for key, value in rate.items() if value is None]:
        rate.pop(key)  # of the ARC JEPA: the arm of a seq-JEPA is the one that it was before it had these keys
    return run_id(settings, data)


def run_of(config: Config | ArcConfig, data: str) -> RunDir:
    """The folder of the run; nothing on disk is touched."""
    return RunDir(config.runs_dir, config.name, identity(config, data))


def decide(run: RunDir, on_existing: str) -> str:
    """new, resume, restart or skip, from what the run's folder says.

    UserError for on_existing=error, and for a run of another version of the results unless it is restarted.
    """
    status: dict[str, Any] | None = run.status()
    checkpoint = any((run.checkpoints / f"{name}.ckpt").is_file() for name in ("last", "previous"))
    if status is None and not checkpoint:
        return "new"
    status = status or {}
    if on_existing == "error":
        raise UserError(f"{run.path}: this run exists ({run.state()}); on_existing=resume or restart goes on")
    if on_existing == "restart":
        return "restart"
    run.require_this_version(status)
    if status.get("state") == "completed" and run.summary() is not None:
        return "skip"
    return "resume" if checkpoint else "new"
