"""A run whose weights grew without bound, with diagnosis.on_nan=skip: it is trained to its end, and
every step after training says that it diverged."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.image
import pytest
import torch

import conftest
from jepa_lab import decode, evaluate
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.network import SeqJEPANetwork
from jepa_lab.studies.seq_jepa.study import STUDY
from jepa_lab.training import trained_study
from jepa_lab.training.run import RunResult

pytestmark = pytest.mark.slow
DIVERGING = ("diagnosis.on_nan=skip", "optim.lr=1e30", "optim.clip=null")
EVERYTHING = (
    "dataset=digits_affine",
    "monitor.rollout_steps=2",
    "monitor.sweep_every=1",
    "monitor.subspace=true",
    "monitor.sweep_anchors=8",
)


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run with all measurements and figures. A figure that cannot be drawn is an error."""

    def raised(path: Path, error: Exception) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jepa_lab.report.figures.not_drawn", raised)
        make = conftest.maker(tmp_path_factory.mktemp("diverged"))
        return train(make(*DIVERGING, *EVERYTHING))


def test_a_run_with_skipped_steps_keeps_its_verdict(diverged: RunResult) -> None:
    assert (diverged.state, diverged.verdict["status"]) == ("completed", "diverged")
    summary = json.loads((diverged.run_dir / "summary.json").read_text())
    swept = [key for key in summary["metrics"] if key.startswith("val/sweep/")]
    assert "val/sweep/overlap/rot-scale" in swept
    assert all(summary["metrics"][key]["last"] is None for key in swept)
    assert summary["metrics"]["val/rollout/2"]["last"] is None
    assert "test/skill" in summary["metrics"]
    assert math.isnan(diverged.metrics["val/sweep/rot/effective_rank"])


def test_every_figure_of_the_run_is_there_with_a_word_for_what_cannot_be_drawn(
    diverged: RunResult,
) -> None:
    drawn = {path.stem for path in (diverged.run_dir / "figures").glob("*.png")}
    assert {"overview", "early_warning", "views"} <= drawn
    assert {"sweep_trajectories", "sweep_spectra", "sweep_overlap"} <= drawn
    assert "diverged" in (diverged.run_dir / "report.html").read_text()


def test_evaluate_says_so_and_measures_the_other_networks(
    diverged: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(diverged.run_dir)
    evaluate.main([folder, "--limit", "50", "--anchors", "4", "--views", "1", "--rows", "random"])
    assert "no row this run: diverged: its features are not finite" in capsys.readouterr().out
    content = json.loads((diverged.run_dir / "evaluation.json").read_text())
    assert content["missing"]["this run"].startswith("diverged")
    assert {figure["row"] for figure in content["figures"]} == {"random init"}
    assert all(step["rollout"] is None for step in content["rollout"]["steps"])
    for name in ("evaluation", "feature_map", "rollout"):
        matplotlib.image.imread(diverged.run_dir / "figures" / f"{name}.png")
    evaluate.main([folder, "--limit", "50", "--anchors", "4", "--views", "1", "--rows", "none"])
    assert json.loads((diverged.run_dir / "evaluation.json").read_text())["figures"] == []


def test_decode_says_so_and_decodes_the_random_network(
    diverged: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    decode.main([str(diverged.run_dir), "--limit", "40", "--steps", "2"])
    assert "\ndiverged: latents that are not finite" in capsys.readouterr().out
    rows = json.loads((diverged.run_dir / "decoded.json").read_text())["taps"]
    known = {(row["tap"], row["network"]): row["psnr"] for row in rows}
    assert known["z", "this run"] is None
    assert math.isfinite(known["z", "random encoder"])
    assert (diverged.run_dir / "figures" / "decoded.png").is_file()


def constant(z: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(z)


def broken_view(z: torch.Tensor) -> torch.Tensor:
    z = z.clone()
    z[..., :1, :] = math.nan
    return z


@pytest.mark.parametrize(
    ("change", "status"), [(constant, "complete_collapse"), (broken_view, "diverged")]
)
def test_a_constant_encoder_and_a_nan_in_one_view_reach_their_verdict(
    change: Callable[[torch.Tensor], torch.Tensor],
    status: str,
    make_config: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode = SeqJEPANetwork.encode

    def changed(network: Any, views: torch.Tensor, encoder: Any = None) -> torch.Tensor:
        z = encode(network, views, encoder)
        return z if network.training else change(z)

    monkeypatch.setattr(SeqJEPANetwork, "encode", changed)
    result = train(make_config("dataset.epochs=1", "monitor.sweep_anchors=4"))
    assert (result.state, result.verdict["status"]) == ("completed", status)


class Broken:
    """A trainer whose test pass fails."""

    def validate(self, *args: Any, **options: Any) -> None:
        raise ValueError("features are not finite")


@pytest.mark.parametrize("status", ["diverged", "healthy"])
def test_only_a_diverged_run_may_lose_its_test_pass(
    status: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judged = SimpleNamespace(status=status)
    monkeypatch.setattr(type(STUDY), "judge_of", lambda study, config: lambda history: judged)
    parts = SimpleNamespace(module=SimpleNamespace(), loaders={"test": None})
    session: Any = SimpleNamespace(
        parts=parts, config=None, ledger=SimpleNamespace(history=lambda: {})
    )
    assert trained_study.TrainedStudy._test is type(STUDY)._test
    if status == "healthy":
        with pytest.raises(ValueError, match="not finite"):
            STUDY._test(session, Broken())
    else:
        STUDY._test(session, Broken())
        assert "no test pass: the run diverged" in caplog.text
