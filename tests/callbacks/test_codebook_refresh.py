"""Revival of dead codes: selection, new vectors and logged values, for our rules and the published
one."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lab.callbacks import CodebookRefresh
from jepa_lab.errors import UserError
from jepa_lab.networks.vq.build import Quantizer, build_quantizer
from jepa_lab.networks.vq.refresh import long_unused, rarely_used, small_mass

K, D = 128, 16


def book(**options: Any) -> Quantizer:
    return build_quantizer("hard", D, K, **{"init": "uniform", **options})


def stage(vq: Any) -> tuple[Any, Any]:
    return (
        SimpleNamespace(
            global_step=0, current_epoch=0, loggers=[], callback_metrics={}, optimizers=[]
        ),
        SimpleNamespace(vq=vq, skipped=False),
    )


def clusters(n: int = 512) -> Tensor:
    """Returns tokens around eight points. Most of 128 randomly placed codes are the nearest code of
    none."""
    return 4.0 * torch.eye(D)[torch.arange(n) % 8] + 0.1 * torch.randn(n, D)


def train_step(vq: Quantizer, x: Tensor) -> Tensor:
    codes = vq(x, torch.ones(len(x), dtype=torch.bool), collect=True).codes
    vq.update()
    return codes


def end_step(callback: CodebookRefresh, trainer: Any, module: Any, step: int) -> dict[str, float]:
    trainer.global_step, trainer.callback_metrics = step, {}
    callback.on_train_batch_end(trainer, module)
    return {key: float(value) for key, value in trainer.callback_metrics.items()}


def lived_in(**options: Any) -> Quantizer:
    """Returns a codebook with known dead codes: only the first 8 get tokens for 300 steps."""
    vq = book(**options)
    vq.revive(torch.arange(K), 100.0 + torch.randn(K, D), torch.ones(K))
    vq.revive(torch.arange(8), 4.0 * torch.eye(D)[:8], torch.ones(8))
    for _ in range(300):
        train_step(vq, clusters())
    return vq


def test_rarely_used_codes_are_relative_to_uniform_use_and_sorted() -> None:
    counts = torch.tensor([10.0, 0.2, 0.0, 10.0])
    assert rarely_used(counts, 0.1).tolist() == [2, 1]
    assert torch.equal(rarely_used(1e-6 * counts, 0.1), rarely_used(counts, 0.1))
    assert not len(rarely_used(torch.ones(768), 0.999))
    assert len(rarely_used(torch.zeros(5), 0.5)) == 5
    for threshold in (0.0, 1.0, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            rarely_used(counts, threshold)


def test_long_unused_codes_have_at_least_the_age_and_are_sorted_oldest_first() -> None:
    assert long_unused(torch.tensor([5, 0, 9, 4]), 5).tolist() == [2, 0]
    assert long_unused(torch.zeros(3), 1).tolist() == []


def test_with_the_published_share_uniformly_used_codes_are_dead() -> None:
    assert len(small_mass(torch.ones(128), 0.05)) == 128
    assert len(small_mass(torch.ones(128), 0.001)) == 0


@pytest.mark.parametrize("rule", ["relative", "staleness"])
def test_revived_codes_are_at_tokens_and_keep_their_norm_at_the_next_update(rule: str) -> None:
    vq = lived_in()
    trainer, module = stage(vq)
    callback = CodebookRefresh(1, rule=rule, cap=1.0)
    callback.on_train_start(trainer, module)
    before = vq.codebook.clone()
    metrics = end_step(callback, trainer, module, 1)
    assert metrics["train/codebook/dead_before"] == metrics["train/codebook/revived"] == K - 8
    assert torch.equal(vq.codebook[:8], before[:8])
    nearest_token = torch.cdist(vq.codebook[8:], vq.live_tokens(10**6)).amin(1)
    assert float(nearest_token.max()) < 0.01 * 1.1 * 2 * D**0.5
    after = vq.codebook.clone()
    codes = train_step(vq, clusters())
    change = vq.codebook.norm(dim=1) / after.norm(dim=1)
    assert float((change - 1).abs().max()) < 0.02
    idle = torch.ones(K, dtype=torch.bool)
    idle[codes] = False
    assert 0 < int(idle.sum()) < K
    assert torch.equal(vq.codebook[idle], after[idle])
    assert len(codes.unique()) > 64  # only 8 were in use before


@pytest.mark.parametrize("init", ["uniform", "empty"])
def test_the_published_rule_overwrites_all_codes_which_shrink_at_the_next_update(init: str) -> None:
    vq = book(init=init, update="forward")
    x = 1.6 * torch.randn(2000, D)
    for _ in range(100):
        train_step(vq, x)
    trainer, module = stage(vq)
    callback = CodebookRefresh(100, threshold=0.05, rule="legacy_share")
    callback.on_train_start(trainer, module)
    mean_count = float(vq.counts.mean())
    metrics = end_step(callback, trainer, module, 1)
    assert metrics["train/codebook/dead_before"] == metrics["train/codebook/revived"] == K
    before = float(vq.codebook.norm(dim=1).median())
    assert mean_count > 5
    train_step(vq, x)
    after = float(vq.codebook.norm(dim=1).median())
    assert after < 0.2 * before  # as published: 6.35 to .65
    assert after == pytest.approx(before / mean_count, rel=0.4)


def test_the_published_rule_uses_tokens_with_the_largest_errors_and_the_mean_count() -> None:
    vq = book(update="forward")
    x = torch.randn(50, D)
    train_step(vq, x)
    errors = torch.cdist(x, vq.codebook).amin(1)
    mean_count = max(1.0, float(vq.counts.mean()))
    trainer, module = stage(vq)
    callback = CodebookRefresh(1, threshold=1.0, rule="legacy_share")
    callback.on_train_start(trainer, module)
    end_step(callback, trainer, module, 1)
    worst = x[errors.argsort(descending=True)]
    assert torch.allclose(vq.codebook, worst.repeat(3, 1)[:K])
    assert torch.allclose(vq.sums, vq.codebook)  # type: ignore[arg-type]
    assert torch.allclose(vq.counts, torch.full((K,), mean_count))


def test_the_published_interval_counts_forwards_and_restarts_only_with_dead_codes() -> None:
    vq = book(update="forward")
    trainer, module = stage(vq)
    callback = CodebookRefresh(14, threshold=0.0, rule="legacy_share")
    callback.on_train_start(trainer, module)
    events = []
    for step in range(1, 7):
        for _ in range(7):  # seven forward passes a step
            vq(clusters(), torch.ones(512, dtype=torch.bool))
        vq.update()
        if step == 4:
            callback.threshold = 1.0
        events.append(end_step(callback, trainer, module, step).get("train/codebook/dead_before"))
    assert events == [None, 0.0, 0.0, float(K), None, float(K)]


def test_cap_selects_the_longest_unused_codes_and_cool_down_excludes_revived_ones() -> None:
    vq = lived_in()
    with torch.no_grad():
        vq.age[20:30] += 50
    trainer, module = stage(vq)
    callback = CodebookRefresh(1, rule="staleness", stale_after=100, cap=0.08, cool_down=3)
    callback.on_train_start(trainer, module)
    before = vq.codebook.clone()
    assert end_step(callback, trainer, module, 1)["train/codebook/revived"] == 10
    moved = (vq.codebook != before).any(1).nonzero().flatten().tolist()
    assert moved == list(range(20, 30))
    vq.age[20:30] += 900  # at once the longest unused again
    before = vq.codebook.clone()
    end_step(callback, trainer, module, 2)
    moved = (vq.codebook != before).any(1).nonzero().flatten().tolist()
    assert len(moved) == 10
    assert not set(moved) & set(range(20, 30))
    end_step(callback, trainer, module, 3)
    before = vq.codebook.clone()
    end_step(callback, trainer, module, 4)
    assert (vq.codebook != before).any(1).nonzero().flatten().tolist() == list(range(20, 30))


def test_refresh_runs_at_the_interval_after_the_ramp_and_not_on_skipped_steps() -> None:
    vq = lived_in()
    trainer, module = stage(vq)
    callback = CodebookRefresh(2, rule="staleness", stale_after=1, cap=0.01, ramp=0.3, steps=10)
    callback.on_train_start(trainer, module)
    acted = []
    for step in range(1, 11):
        module.skipped = step == 6
        metrics = end_step(callback, trainer, module, step)
        assert not end_step(callback, trainer, module, step)
        if metrics:
            acted.append(step)
    assert acted == [4, 8, 10]


def test_revived_codes_get_the_mean_count_of_live_codes_or_one_without_live_codes() -> None:
    for mean, counts in (
        (6.0, torch.cat([torch.tensor([4.0, 8.0]), torch.zeros(K - 2)])),
        (1.0, torch.zeros(K)),
    ):
        vq = book()
        train_step(vq, clusters())
        vq.counts.copy_(counts)
        trainer, module = stage(vq)
        callback = CodebookRefresh(1, cap=1.0)
        callback.on_train_start(trainer, module)
        revived = counts == 0
        assert end_step(callback, trainer, module, 1)["train/codebook/revived"] == int(
            revived.sum()
        )
        assert torch.equal(vq.counts[revived], torch.full_like(vq.counts[revived], mean))
        assert torch.allclose(vq.sums[revived], mean * vq.codebook[revived])  # type: ignore[index]


def test_logged_values_of_an_event_match_the_changes_of_the_codebook() -> None:
    vq = lived_in()
    trainer, module = stage(vq)
    callback = CodebookRefresh(1, cap=0.5)
    callback.on_train_start(trainer, module)
    before = vq.codebook.clone()
    metrics = end_step(callback, trainer, module, 1)
    moved = (vq.codebook != before).any(1)
    assert metrics["train/codebook/revived"] == int(moved.sum()) == 64
    assert metrics["train/codebook/revived_share"] == 0.5
    distance = (vq.codebook - before)[moved].norm(dim=1).mean()
    assert metrics["train/codebook/moved"] == pytest.approx(float(distance))
    assert metrics["train/codebook/norm_before"] == pytest.approx(
        float(before[moved].norm(dim=1).mean())
    )
    assert metrics["train/codebook/norm_after"] == pytest.approx(
        float(vq.codebook[moved].norm(dim=1).mean())
    )
    vq.counts.fill_(1.0)
    assert end_step(callback, trainer, module, 2) == {
        "train/codebook/dead_before": 0.0,
        "train/codebook/revived": 0.0,
        "train/codebook/revived_share": 0.0,
    }


@pytest.mark.parametrize("rule", ["relative", "legacy_share"])
def test_an_event_after_a_resume_has_identical_bits(rule: str) -> None:
    vq, options = (
        lived_in(),
        {"rule": rule, "cap": 0.2, "cool_down": 5, "threshold": 0.05, "seed": 3},
    )
    trainer, module = stage(vq)
    callback = CodebookRefresh(2, **options)
    callback.on_train_start(trainer, module)
    end_step(callback, trainer, module, 2)
    resumed = copy.deepcopy(vq)
    resumed._tokens = None  # not part of a checkpoint
    again, (other_trainer, other) = CodebookRefresh(2, **options), stage(resumed)
    again.load_state_dict(callback.state_dict())
    other_trainer.global_step = 2
    again.on_train_start(other_trainer, other)
    for step in (3, 4):
        x = clusters()
        torch.manual_seed(step)
        train_step(vq, x)
        first = end_step(callback, trainer, module, step)
        torch.manual_seed(step + 100)
        train_step(resumed, x)
        assert end_step(again, other_trainer, other, step) == first
    assert first
    assert all(
        torch.equal(value, resumed.state_dict()[key]) for key, value in vq.state_dict().items()
    )


def test_reviving_a_codebook_trained_by_gradient_clears_the_optimiser_moments() -> None:
    vq = book(ema_decay=None)
    optimiser = torch.optim.Adam(vq.parameters(), lr=0.01)
    for _ in range(100):
        optimiser.zero_grad()
        x = clusters()
        vq(x, torch.ones(512, dtype=torch.bool), collect=True).loss.total.backward()
        optimiser.step()
        vq.update()
    trainer, module = stage(vq)
    trainer.optimizers = [optimiser]
    callback = CodebookRefresh(1, cap=1.0, threshold=0.5)
    callback.on_train_start(trainer, module)
    before = vq.codebook.detach().clone()
    assert end_step(callback, trainer, module, 1)["train/codebook/revived"] > 10
    moved = (vq.codebook != before).any(1)
    average = optimiser.state[next(vq.parameters())]["exp_avg_sq"]
    assert not average[moved].any()
    assert bool(average[~moved].any())
    assert float(torch.cdist(vq.codebook[moved].detach(), vq.live_tokens(9999)).amin(1).max()) < 0.1


def test_the_targets_own_codebook_is_refreshed_and_logged_under_its_own_name() -> None:
    vq = lived_in(share=False)
    trainer, module = stage(vq)
    module.target_vq = vq.for_target()
    callback = CodebookRefresh(1)
    callback.on_train_start(trainer, module)
    metrics = end_step(callback, trainer, module, 1)
    assert metrics["train/codebook_target/revived"] == metrics["train/codebook/revived"] == 12
    module.target_vq = vq
    assert "train/codebook_target/revived" not in end_step(callback, trainer, module, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, "dataset; at 1 a uniformly used code is dead"),
        ({"threshold": 0.0}, "vq.refresh.threshold=0.0"),
        ({"rule": "share"}, "relative, staleness, legacy_share"),
        ({"interval": 0}, "vq.refresh.interval=0"),
        ({"cap": 0.0}, "vq.refresh.cap=0.0"),
        ({"stale_after": 0}, "vq.refresh.stale_after=0"),
        ({"cool_down": -1}, "vq.refresh.cool_down=-1"),
        ({"ramp": 1.5}, "vq.refresh.ramp=1.5"),
        ({"rule": "legacy_share", "threshold": 2.0}, "vq.refresh.threshold=2.0"),
    ],
)
def test_a_wrong_option_is_reported_with_the_allowed_range(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        CodebookRefresh(**options)


def test_refresh_without_revivable_codes_is_an_error() -> None:
    for vq, message in (
        (None, "vq.enabled=false"),
        (build_quantizer("fsq", 4, levels=[3, 3]), "fsq"),
    ):
        trainer, module = stage(vq)
        with pytest.raises(UserError, match=message):
            CodebookRefresh().on_train_start(trainer, module)
