"""A loss or gradient that is not finite never leads to a step: the run stops, or skips the step."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lab.callbacks import finite
from jepa_lab.ledger.parquet import history_of
from jepa_lab.losses import LossTerms
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.studies.seq_jepa.network import SeqJEPANetwork
from jepa_lab.studies.seq_jepa.objective import Objective

Make = Callable[..., Config]
EMA = "seq_jepa_baseline"


class _Poison(torch.autograd.Function):
    """Passes the value forward and NaN backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * math.nan


def poison(monkeypatch: pytest.MonkeyPatch, what: str, batches: set[int]) -> None:
    """Makes the rate, the gradient, or everything after the encoder NaN in these training batches,
    counted from 1."""
    count = 0
    objective, step, encode = Objective.forward, SeqJEPA.training_step, SeqJEPANetwork.encode

    def counted(self: Any, batch: Any, index: int) -> Any:
        nonlocal count
        count += 1
        return step(self, batch, index)

    def terms(self: Any, *args: Any) -> LossTerms:
        found = objective(self, *args)
        if count in batches and what == "rate":
            return LossTerms(
                found.total * math.nan, {**found.terms, "rate": found.terms["rate"] * math.nan}
            )
        total = (
            _Poison.apply(found.total) if count in batches and what == "gradient" else found.total
        )
        return LossTerms(total, found.terms)

    def encoded(self: Any, views: Tensor, *args: Any) -> Tensor:
        bad = count in batches and what == "everything" and self.training
        return encode(self, views * math.nan if bad else views, *args)

    monkeypatch.setattr(SeqJEPA, "training_step", counted)
    monkeypatch.setattr(Objective, "forward", terms)
    monkeypatch.setattr(SeqJEPANetwork, "encode", encoded)


def weights(path: Path) -> dict[str, Tensor]:
    return dict(torch.load(path, weights_only=True)["state_dict"])


@pytest.mark.parametrize(
    ("what", "term"),
    [
        ("rate", "train/loss/rate"),
        ("gradient", "train/grad_norm"),
        ("everything", "train/loss/prediction"),
    ],
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_bad_step_fails_the_run_with_the_name_of_the_term_and_a_good_checkpoint(
    what: str, term: str, accumulate: int, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, what, {3 * accumulate})  # the last batch of the third step
    epochs = f"dataset.epochs={2 * accumulate}"
    result = train(make_config(epochs, f"optim.accumulate={accumulate}", "monitor.save_every_s=0"))
    status = json.loads((result.run_dir / "status.json").read_text())
    assert (result.state, status["state"]) == ("failed", "failed")
    assert status["first_bad"] == {"term": term, "step": 3}
    assert f"{term} is not finite at step 3" in status["reason"]
    assert result.verdict["status"] == "diverged"
    assert term in result.verdict["line"]
    last = result.run_dir / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2
    assert all(bool(torch.isfinite(w).all()) for w in weights(last).values())


def test_a_bad_gradient_names_the_first_parameter(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, "gradient", {2})
    assert "network." in (train(make_config()).reason or "")


@pytest.mark.parametrize("what", ["rate", "gradient", "everything"])
def test_skipped_steps_are_counted_and_reported_in_the_verdict(
    what: str, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, what, {2, 7})
    result = train(make_config("diagnosis.on_nan=skip", "target=ema", "loss.lambda_rate=0.003"))
    assert result.state == "completed"
    assert result.metrics["train/skipped_steps"] == 2.0
    assert [step for step, _ in history_of(result.run_dir)["train/skipped_steps"]] == [2, 7]
    assert "2 of 8 optimiser steps were skipped" in result.verdict["line"]
    assert all(
        bool(torch.isfinite(w).all())
        for w in weights(result.run_dir / "checkpoints" / "last.ckpt").values()
    )
    assert all(
        math.isfinite(v)
        for k, v in result.metrics.items()
        if k.startswith(("val/probe", "test/probe", "val/z"))
    )


def test_a_skipped_step_changes_neither_weights_nor_optimiser_nor_target_nor_probes(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[dict[str, Any]] = []

    class Watch(finite.FiniteGuard):
        def on_train_batch_start(self, trainer: Any, module: Any, *args: Any) -> None:
            super().on_train_batch_start(trainer, module, *args)
            optimiser = trainer.optimizers[0].state_dict()["state"]
            probes = next(c for c in trainer.callbacks if type(c).__name__ == "OnlineProbes")
            kept = {f"w/{k}": v.clone() for k, v in module.state_dict().items()}
            kept |= {f"p/{k}": v.clone() for k, v in probes.heads.state_dict().items()}
            kept |= {f"o/{i}/{k}": v.clone() for i, s in optimiser.items() for k, v in s.items()}
            states.append(kept)

    monkeypatch.setattr("jepa_lab.training.frame.FiniteGuard", Watch)
    poison(monkeypatch, "everything", {3})
    train(make_config("diagnosis.on_nan=skip", experiment=EMA))
    before, after, later = states[2:5]
    assert before.keys() == after.keys()
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    assert not all(torch.equal(v, later[k]) for k, v in after.items())


def test_without_a_bad_step_skip_and_stop_train_identical_bits(
    make_config: Make, tmp_path: Path
) -> None:
    import conftest

    stop = train(make_config())
    skip = train(conftest.maker(tmp_path / "skip")("diagnosis.on_nan=skip"))
    one, other = (weights(r.run_dir / "checkpoints" / "last.ckpt") for r in (stop, skip))
    assert all(torch.equal(v, other[k]) for k, v in one.items())


def test_a_run_that_skips_too_many_steps_in_a_row_fails(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finite, "IN_A_ROW", 3)
    poison(monkeypatch, "rate", set(range(2, 99)))
    result = train(make_config("diagnosis.on_nan=skip"))
    assert result.state == "failed"
    assert "train/loss/rate is not finite at step 4, 3 steps in a row" in (result.reason or "")


def test_the_count_of_skipped_steps_survives_a_resume(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, "rate", {1, 6})
    line = ("diagnosis.on_nan=skip", "monitor.save_every_s=0")
    first = train(make_config(*line, "max_wall_s=1e-9"))
    assert first.metrics["train/skipped_steps"] == 1.0
    assert train(make_config(*line)).metrics["train/skipped_steps"] == 2.0
