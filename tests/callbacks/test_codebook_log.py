"""CodebookLog: windows of a fixed number of tokens do not depend on batch size, accumulation and
resume."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lab.callbacks.codebook_log import CodebookLog
from jepa_lab.metrics import codebook_churn, perplexity, usage
from jepa_lab.networks.vq.build import build_quantizer

K, D = 16, 4


def stage(vq: Any = None) -> tuple[Any, Any]:
    vq = vq if vq is not None else build_quantizer("hard", D, K, init="uniform")
    trainer = SimpleNamespace(
        global_step=0, current_epoch=0, loggers=[], callback_metrics={}, sanity_checking=False
    )
    return trainer, SimpleNamespace(vq=vq, skipped=False, codes=None, eval_prefix="val")


def batch_end(
    callback: CodebookLog, trainer: Any, module: Any, codes: Tensor, step: int
) -> dict[str, float]:
    trainer.global_step, trainer.callback_metrics, module.codes = step, {}, codes
    callback.on_train_batch_end(trainer, module)
    return {
        key.removeprefix("train/codebook/"): float(v) for key, v in trainer.callback_metrics.items()
    }


def logged(codes: Tensor, batch: int, window: int) -> list[dict[str, float]]:
    """Returns the values logged for the (n,) codes in steps of `batch` places."""
    callback = CodebookLog(window)
    trainer, module = stage()
    callback.on_train_start(trainer, module)
    metrics = [
        batch_end(callback, trainer, module, part, 1 + i)
        for i, part in enumerate(codes.split(batch))
    ]
    return [values for values in metrics if values]


def with_holes(n: int) -> Tensor:
    codes = torch.randint(K, (n,)) * torch.randint(2, (n,))  # code 0 is half of them
    return torch.where(torch.rand(n) < 0.3, -1, codes)


def test_a_window_holds_the_same_number_of_live_tokens_for_every_batch_size() -> None:
    codes = with_holes(1200)
    live = codes[codes >= 0]
    windows = [live[i : i + 200] for i in range(0, len(live) - 199, 200)]
    for batch in (1, 40, 190):
        metrics = logged(codes, batch, window=200)
        assert len(metrics) == len(windows) == 4
        for values, window in zip(metrics, windows, strict=True):
            counts = torch.bincount(window, minlength=K)
            assert values["n"] == 200
            assert values["usage"] == pytest.approx(float(usage(counts)))
            assert values["perplexity"] == pytest.approx(float(perplexity(counts)), rel=1e-6)


def test_one_code_has_perplexity_one_and_uniform_use_has_perplexity_k() -> None:
    one = logged(torch.zeros(32, dtype=torch.int64), 32, 32)[0]
    assert (one["usage"], one["perplexity"]) == (1 / K, 1.0)
    even = logged(torch.arange(32) % K, 32, 32)[0]
    assert (even["usage"], even["perplexity"]) == (1.0, pytest.approx(K))


def test_a_step_logs_its_last_full_window_and_keeps_the_remaining_tokens() -> None:
    codes = torch.cat(
        [torch.zeros(32, dtype=torch.int64), torch.arange(32) % K, torch.full((31,), 3)]
    )
    metrics = logged(torch.cat([codes, torch.tensor([3])]), len(codes), 32)
    assert [values["perplexity"] for values in metrics] == [pytest.approx(K), 1.0]


def test_accumulated_batches_are_one_step_and_skipped_steps_are_not_counted() -> None:
    callback = CodebookLog(8)
    trainer, module = stage()
    callback.on_train_start(trainer, module)
    part = torch.arange(4)
    assert batch_end(callback, trainer, module, part, 0) == {}
    assert batch_end(callback, trainer, module, part, 0) == {}
    assert batch_end(callback, trainer, module, part[:3], 1)["n"] == 8
    module.skipped = True
    assert batch_end(callback, trainer, module, part.repeat(9), 2) == {}
    module.skipped = False
    assert batch_end(callback, trainer, module, part, 3) == {}
    assert batch_end(callback, trainer, module, part[:1], 4)["n"] == 8


def test_norms_and_ages_are_those_of_the_codebook() -> None:
    trainer, module = stage()
    module.vq.revive(
        torch.arange(K), torch.arange(1.0, K + 1)[:, None] * torch.eye(D)[0], torch.ones(K)
    )
    module.vq.age.copy_(torch.arange(K) * 2)
    callback = CodebookLog(4)
    callback.on_train_start(trainer, module)
    metrics = batch_end(callback, trainer, module, torch.arange(4), 1)
    assert (metrics["norm_min"], metrics["norm_median"], metrics["norm_max"]) == (1.0, 8.0, 16.0)
    assert metrics["dead_code_age"] == 15.0
    assert "churn" not in metrics
    module.vq.vectors[0] = math.inf
    metrics = batch_end(callback, trainer, module, torch.arange(4), 2)
    assert "norm_max" not in metrics
    assert metrics["n"] == 4


def test_churn_compares_the_codebooks_at_the_ends_of_two_windows() -> None:
    trainer, module = stage()
    callback, x = CodebookLog(64), 2.0 * torch.randn(64, D)
    callback.on_train_start(trainer, module)
    metrics, books = [], []
    for step in (1, 2, 3):
        out = module.vq(x, torch.ones(64, dtype=torch.bool), collect=step != 3)
        module.vq.update()
        metrics.append(batch_end(callback, trainer, module, out.codes, step))
        books.append(module.vq.codebook.clone())
    assert "churn" not in metrics[0]
    assert metrics[1]["churn"] == pytest.approx(float(codebook_churn(x, books[0], books[1])))
    assert metrics[1]["churn"] > 0
    assert metrics[2]["churn"] == 0.0


def test_fixed_codes_have_no_churn() -> None:
    trainer, module = stage(build_quantizer("fsq", D, levels=[4, 4]))
    callback = CodebookLog(4)
    callback.on_train_start(trainer, module)
    for step in (1, 2):
        metrics = batch_end(callback, trainer, module, torch.arange(4), step)
        assert metrics["usage"] == 0.25
        assert "churn" not in metrics


def test_a_resumed_run_continues_a_half_filled_window() -> None:
    codes, metrics = with_holes(400), {}
    for resume in (False, True):
        torch.manual_seed(3)
        callback, x = CodebookLog(64), torch.randn(50, D)
        trainer, module = stage()
        callback.on_train_start(trainer, module)
        rows = []
        for step, part in enumerate(codes.split(50), start=1):
            if resume and step in (3, 6):
                state = copy.deepcopy(callback.state_dict())
                callback = CodebookLog(64)
                callback.load_state_dict(state)
                callback.on_train_start(trainer, module)
            module.vq(x + step, torch.ones(50, dtype=torch.bool), collect=True)
            module.vq.update()
            rows.append(batch_end(callback, trainer, module, part, step))
        metrics[resume] = rows
    assert metrics[True] == metrics[False]
    assert sum("churn" in row for row in metrics[True]) >= 3


def test_a_resumed_run_with_another_window_size_starts_a_new_window() -> None:
    callback = CodebookLog(10)
    trainer, module = stage()
    callback.on_train_start(trainer, module)
    batch_end(callback, trainer, module, torch.arange(9), 1)
    other = CodebookLog(4)
    other.load_state_dict(callback.state_dict())
    other.on_train_start(trainer, module)
    assert batch_end(other, trainer, module, torch.arange(3), 2) == {}
    assert batch_end(other, trainer, module, torch.arange(1), 3)["n"] == 4


def test_an_evaluation_logs_all_context_and_target_tokens_under_its_own_prefix() -> None:
    for prefix in ("reference", "val", "test"):
        callback = CodebookLog(4)
        trainer, module = stage()
        module.eval_prefix = prefix
        for _ in range(2):  # the second pass starts from 0
            callback.on_validation_epoch_start(trainer, module)
            for codes, target in (
                ([[0, 1, -1], [2, -1, -1]], [3, -1]),
                ([[0, -1, -1]] * 2, [0, -1]),
            ):
                module.codes, module.target_codes = torch.tensor(codes), torch.tensor(target)
                callback.on_validation_batch_end(trainer, module)
            callback.on_validation_epoch_end(trainer, module)
        values = trainer.callback_metrics
        counts = torch.tensor([4.0, 1.0, 1.0, 1.0])
        assert float(values[f"{prefix}/codebook/usage"]) == 4 / K
        assert float(values[f"{prefix}/codebook/perplexity"]) == pytest.approx(
            float(perplexity(counts))
        )
        assert float(values[f"{prefix}/codebook/n"]) == 7
        assert {key.split("/")[0] for key in values} == {prefix}
        assert {
            f"{prefix}/codebook/{n}"
            for n in ("norm_median", "norm_min", "norm_max", "dead_code_age")
        } < set(values)


def test_nothing_is_logged_without_a_codebook_or_without_tokens() -> None:
    callback = CodebookLog(4)
    trainer, module = stage()
    callback.on_train_start(trainer, module)
    callback.on_validation_epoch_start(trainer, module)
    module.codes = torch.full((3, 2), -1)
    callback.on_validation_batch_end(trainer, module)
    callback.on_validation_epoch_end(trainer, module)
    assert batch_end(callback, trainer, module, module.codes, 1) == {}
    module.vq = None
    assert batch_end(callback, trainer, module, torch.arange(9), 2) == {}
    with pytest.raises(ValueError, match="at least one token"):
        CodebookLog(0)
