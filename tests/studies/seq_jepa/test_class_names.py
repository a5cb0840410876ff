"""Labels that are strings: a run on them names its classes in its protocol, its page and the frozen
evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import conftest
from jepa_lab import evaluate as command
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.evaluation import figures
from jepa_lab.studies.seq_jepa.resume import PLANNER

NAMES = ["$cat", "<dog>", "owl"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    labels = np.sort(np.array(NAMES)[np.arange(300) % 3])  # sorted: the first are of one class
    images = rng.integers(0, 256, (300, 1, 12, 12), dtype=np.uint8)
    np.savez(
        folder / "own.npz",
        train_images=images[:240],
        train_labels=labels[:240],
        test_images=images[240:],
        test_labels=labels[240:],
    )
    config = conftest.maker(folder)(
        "dataset=npz",
        "encoder=resnet_small",
        f"dataset.path={folder / 'own.npz'}",
        "dataset.train_size=null",
        "dataset.val_size=null",
        "dataset.epochs=1",
    )
    with pytest.MonkeyPatch.context() as patch:
        conftest.without_figures(patch)
        described = PLANNER.describe(config, PLANNER.load(config))
        assert described.endswith("60 test images, 3 classes ($cat, <dog>, owl)")
        return train(config).run_dir


def test_protocol_and_page_name_the_classes(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["protocol"]["classes"] == NAMES
    assert summary["metrics"]["reference/n_classes"]["last"] == 3
    page = (finished / "report.html").read_text()
    assert "<dt>classes</dt><dd>0: $cat, 1: &lt;dog&gt;, 2: owl</dd>" in page


def test_the_evaluation_names_the_classes(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Figure] = {}
    kept = figures.save

    def save(figure: Figure, path: Path) -> Path:
        drawn[path.stem] = figure
        return kept(figure, path)

    monkeypatch.setattr(figures, "save", save)
    command.main([str(finished), "--limit", "50", "--rows", "none", "--views", "1", "--ahead", "1"])
    content = json.loads((finished / "evaluation.json").read_text())
    assert content["protocol"]["classes"] == NAMES
    assert "of one class; a higher --limit" in content["missing"]["class"]
    assert not [f for f in content["figures"] if "class" in f["question"]]
    assert "classes: $cat, <dog>, owl" in capsys.readouterr().out
    bar = next(ax for ax in drawn["feature_map"].axes if ax.get_label() == "<colorbar>")
    assert [label.get_text() for label in bar.get_yticklabels()] == NAMES
