"""Teacherless D in training: the centre, the teacher's head, the logged values, and resuming with
the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import history_of
from jepa_lab.losses import DinoLoss, MismatchedSharpening
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.objective import PredictionLoss
from killed_runs import difference, state_of

Make = Callable[..., Config]
D = "teacherless_d"


@pytest.mark.parametrize(
    ("overrides", "passes"),
    [
        ((), 1),
        (("optim.accumulate=2",), 2),
        (("loss.symmetric=true", "dataset.first_view=random"), 2),
    ],
)
def test_centre_moves_once_per_optimiser_step(
    overrides: tuple[str, ...], passes: int, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves, forwards = [], []
    update, forward = DinoLoss.update_center, DinoLoss.forward

    def counted(self: DinoLoss) -> None:
        moves.append(self._rows)
        update(self)

    def seen(self: DinoLoss, *args: torch.Tensor) -> object:
        forwards.append(self.training)
        return forward(self, *args)

    monkeypatch.setattr(DinoLoss, "update_center", counted)
    monkeypatch.setattr(DinoLoss, "forward", seen)
    result = train(make_config(*overrides, "dataset.train_size=256", experiment=D))
    assert result.module is not None
    steps = result.module.trainer.global_step
    assert len(moves) == steps
    assert sum(forwards) == passes * steps
    assert all(rows == passes * 64 for rows in moves)


def test_teacher_head_is_an_average_and_shared_without_a_teacher(make_config: Make) -> None:
    result = train(make_config("target=ema", "target.memory=0.5", experiment=D))
    averaged = result.module
    assert averaged is not None
    summary = json.loads((result.run_dir / "summary.json").read_text())
    assert summary["teacher_memory_steps"] == 0.5 * averaged.trainer.global_step
    match = averaged.objective.match
    assert match is not None
    assert match.teacher_head is not None
    assert match.student_head is not None
    pairs = list(zip(match.teacher_head.parameters(), match.student_head.parameters(), strict=True))
    assert all(not t.requires_grad for t, _ in pairs)
    assert any(not torch.equal(t, s) for t, s in pairs)
    shared = train(make_config(experiment=D)).module
    assert shared is not None
    assert shared.objective.match is not None
    assert shared.objective.match.teacher_head is None


@pytest.mark.parametrize("loss", ["dino", "dino_headless"])
def test_entropies_and_mutual_information_are_logged(loss: str, make_config: Make) -> None:
    history = history_of(train(make_config(f"loss={loss}", experiment=D)).run_dir)
    names = ("mean_entropy", "entropy_of_mean", "mutual_information", "prototype_usage")
    last = {name: history[f"train/dino/{name}"][-1][1] for name in names}
    assert last["mutual_information"] == pytest.approx(
        last["entropy_of_mean"] - last["mean_entropy"]
    )
    assert last["mutual_information"] > -1e-9
    read = {
        name: history[f"train/dino/{name}"][-1][1]
        for name in ("teacher_entropy", "kl", "loss_over_ln_k")
    }
    assert read["teacher_entropy"] == pytest.approx(last["mean_entropy"], rel=1e-4)
    cross_entropy = history["train/loss/cross_entropy"][-1][1]
    assert read["teacher_entropy"] + read["kl"] == pytest.approx(cross_entropy, rel=1e-5)
    assert 0 < read["loss_over_ln_k"] < 3
    assert 0 < history["val/dino/prototype_usage"][-1][1] <= 1
    assert history["val/dino/mean_entropy"][0][0] == history["val/skill"][0][0]
    for term in ("cross_entropy", "teacher_entropy", "kl", "prediction"):
        assert history[f"train/loss/{term}"]


def test_published_sharpening_trains(make_config: Make) -> None:
    metrics = train(make_config("loss=sharpened", experiment=D)).metrics
    assert 0 < metrics["train/loss/prediction"] < 2


def test_resumed_run_ends_with_the_same_bits(make_config: Make, tmp_path: Path) -> None:
    import conftest

    line = (
        "optim.accumulate=2",
        "target=ema",
        "loss.temp_warmup=0.5",
        "loss.teacher_temp_start=0.07",
        "keep=all",
    )
    expected = train(conftest.maker(tmp_path / "whole")(*line, experiment=D))
    for _ in range(2):
        assert train(make_config(*line, "max_wall_s=1e-9", experiment=D)).state == "stopped"
    resumed = train(make_config(*line, experiment=D))
    assert difference(state_of(resumed.run_dir), state_of(expected.run_dir)) is None


def test_teacher_temperature_moves_from_start_to_end() -> None:
    match = PredictionLoss(DinoLoss(4), temps=(0.08, 0.04, 0.5))
    seen = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        match(torch.randn(2, 4), torch.randn(2, 4), progress)
        assert isinstance(match.loss, DinoLoss)
        seen.append(match.loss.teacher_temp)
    assert seen == pytest.approx([0.08, 0.06, 0.04, 0.04])


def test_shared_target_and_keys_of_another_form_are_refused(make_config: Make) -> None:
    with pytest.raises(UserError, match=r"loss\.form=dino and target=shared contradict"):
        make_config("target=shared", experiment=D)
    with pytest.raises(UserError, match=r"loss\.prototypes=8: loss\.form=cosine does not have it"):
        make_config("+loss.prototypes=8")


def test_skill_of_dino_compares_with_the_best_constant_distribution() -> None:
    match = PredictionLoss(DinoLoss(6, student_temp=0.1, teacher_temp=0.1).eval())
    teacher = torch.randn(500, 6) * 0.1
    p = torch.softmax(teacher / 0.1, dim=1)
    best = (p.mean(0).log() * 0.1).expand(500, 6)
    assert float(match.constant(teacher)) == pytest.approx(
        float(match.distance(best, teacher).mean()), rel=1e-4
    )
    for _ in range(5):
        other = best + 0.02 * torch.randn(6)
        assert float(match.distance(other, teacher).mean()) > float(match.constant(teacher))
    assert float(match.distance(teacher, teacher).mean()) < float(match.constant(teacher))
    center = match.loss.center.clone()
    match.train()
    match.distance(teacher, teacher)
    assert torch.equal(match.loss.center, center)


def test_loss_is_the_mean_over_rows() -> None:
    for loss in (DinoLoss(6), MismatchedSharpening(6)):
        match, a, b = PredictionLoss(loss).eval(), torch.randn(9, 6), torch.randn(9, 6)
        assert torch.allclose(match.distance(a, b).mean(), match(a, b, 1.0).total)
