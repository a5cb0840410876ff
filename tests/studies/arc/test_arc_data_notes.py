"""Tasks that are fewer than the configuration asks for: what is printed."""

from __future__ import annotations

from collections.abc import Callable

from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.resume import PLANNER, data_notes


def test_fewer_tasks_than_wanted_are_reported_with_both_numbers(
    make_arc: Callable[..., ArcConfig],
) -> None:
    config = make_arc()
    data = PLANNER.load(config)
    assert not data_notes(config, data)
    config.dataset.train_tasks = 1000
    assert data_notes(config, data) == ["8 train tasks, fewer than dataset.train_tasks=1000"]
    assert PLANNER.describe(config, data).endswith(
        "; 8 train tasks, fewer than dataset.train_tasks=1000"
    )
