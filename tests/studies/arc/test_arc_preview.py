"""The preview of ARC examples shows the grids that the tokeniser reads, with the same augmentation
for all grids of a task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from jepa_lab import preview
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.parts import build_loaders, build_tokeniser
from jepa_lab.studies.arc.preview import arc_preview, grids_of
from study_parts import load_data

Make = Callable[..., ArcConfig]


def test_the_drawn_grids_are_the_input_of_the_model(make_arc: Make) -> None:
    config = make_arc("dataset.tokeniser=patches")
    tokeniser = build_tokeniser(config.dataset)
    loader = build_loaders(config, load_data(config), tokeniser)["train"]
    for epoch in (0, 1):
        drawn = [grid for grid in grids_of(loader, 0, epoch) if grid is not None]
        batch = loader.examples_at(epoch, 1)
        present = batch.view.context[torch.nonzero(batch.present[0])[:, 0]]
        colors = tokeniser(drawn).colors
        assert torch.equal(colors[:-1], present.colors)
        assert torch.equal(colors[-1:], batch.view.target.colors)


def test_without_an_epoch_the_grids_are_not_augmented(make_arc: Make) -> None:
    config = make_arc()
    tasks = load_data(config)
    loader = build_loaders(config, tasks, build_tokeniser(config.dataset))["train"]
    grids = grids_of(loader, 0, None)
    assert np.array_equal(grids[-1], tasks.train[0].train[0].output)
    assert np.array_equal(grids[-2], tasks.train[0].train[0].input)  # type: ignore[arg-type]
    augmented = grids_of(loader, 0, 0)
    assert any(
        a is not None and b is not None and not np.array_equal(a, b)
        for a, b in zip(grids, augmented, strict=True)
    )


def test_the_title_of_a_generated_task_has_its_rule(make_arc: Make) -> None:
    figure = arc_preview(make_arc(), rows=3)
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert len(titles) == 3
    assert all(title.startswith("synthetic-train") and ": " in title for title in titles)
    assert len({title.partition(": ")[2] for title in titles}) > 1


def test_the_command_draws_a_png_and_rejects_the_toy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = [
        "dataset.train_tasks=4",
        "dataset.val_tasks=2",
        "dataset.test_tasks=2",
        "dataset.batch_size=2",
    ]
    preview.main(["+experiment=arc_jepa", "dataset=arc_synthetic", *overrides, "--rows", "2"])
    assert capsys.readouterr().out.strip() == "preview_arc_synthetic.png"
    assert (tmp_path / "preview_arc_synthetic.png").stat().st_size > 5000
    with pytest.raises(SystemExit) as end:
        preview.main(["+experiment=linear_byol"])
    assert end.value.code == 2
    assert "the linear BYOL toy has no images or tasks" in capsys.readouterr().err
