"""Updates of a codebook: means of members, one update per step, initial codes, and the published
variants."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lab.networks.vq.build import HardQuantizer, build_quantizer
from jepa_lab.networks.vq.maths import nearest, squared_distances


def hard(dim: int = 4, size: int = 8, **options: Any) -> HardQuantizer:
    quantizer = build_quantizer("hard", dim, size, **{"init": "uniform", **options})
    assert isinstance(quantizer, HardQuantizer)
    return quantizer


def all_live(x: Tensor) -> Tensor:
    return torch.ones(x.shape[:-1], dtype=torch.bool)


def snapshot(quantizer: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in quantizer.state_dict().items()}


def test_codes_converge_to_the_mean_of_their_members_at_the_rate_of_the_decay() -> None:
    quantizer = hard(dim=2, size=2, ema_decay=0.9)
    start = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    quantizer.revive(torch.arange(2), start, torch.ones(2))
    x = torch.tensor([[-3.0, 1.0], [-5.0, 1.0], [-4.0, 4.0], [2.0, 0.0]])
    mean, members = torch.tensor([[-4.0, 2.0], [2.0, 0.0]]), torch.tensor([3.0, 1.0])
    for t in range(1, 61):
        quantizer(x, all_live(x), collect=True)
        quantizer.update()
        kept = 0.9**t
        counts = kept + (1 - kept) * members
        expected = (kept * start + ((1 - kept) * members)[:, None] * mean) / counts[:, None]
        assert torch.allclose(quantizer.codebook, expected, atol=1e-5), t
        assert torch.allclose(quantizer.counts, counts, atol=1e-5), t
    assert torch.allclose(quantizer.codebook, mean, atol=0.02)


def test_a_code_without_members_keeps_exactly_its_vector() -> None:
    quantizer = hard(dim=2, size=3, ema_decay=0.5)
    quantizer.revive(
        torch.arange(3), torch.tensor([[0.0, 0.0], [9.1, 0.3], [8.0, 8.0]]), torch.ones(3)
    )
    kept, x = quantizer.codebook[1:].clone(), torch.randn(50, 2) * 0.1
    for _ in range(200):  # 0.5 ** 200 underflows in float32
        quantizer(x, all_live(x), collect=True)
        quantizer.update()
    assert torch.equal(quantizer.codebook[1:], kept)
    back = torch.tensor([[9.0, 0.0], [9.2, 0.2]])
    quantizer(back, all_live(back), collect=True)
    quantizer.update()
    assert torch.allclose(quantizer.codebook[1], back.mean(0))


def test_no_code_grows_beyond_the_tokens_and_codes_in_the_first_step() -> None:
    quantizer, x = hard(dim=384, size=768), torch.randn(1000, 384)
    longest = float(torch.cat([x, quantizer.codebook]).norm(dim=1).max())
    quantizer(x, all_live(x), collect=True)
    quantizer.update()
    assert float(quantizer.codebook.norm(dim=1).max()) <= longest * 1.0001


def test_the_published_initial_codes_explode_in_one_step() -> None:
    quantizer = hard(dim=384, size=768, init="empty", update="forward")
    assert float(quantizer.codebook.norm(dim=1).median()) == pytest.approx(
        math.sqrt(384 / 3) / 768, rel=0.02
    )
    x = torch.randn(2000, 384)
    unused = torch.ones(768, dtype=torch.bool)
    unused[quantizer(x, all_live(x)).codes.unique()] = False
    assert 1300 < float(quantizer.codebook[unused].norm(dim=1).median()) < 1600
    assert float(quantizer.codebook[~unused].norm(dim=1).max()) < 100


def test_the_published_padding_is_counted_but_gets_no_code() -> None:
    x, mask = torch.zeros(1, 10, 4), torch.zeros(1, 10, dtype=torch.bool)
    x[0, :4], mask[0, :4] = torch.randn(4, 4), True
    counts = {}
    for padding in (False, True):
        quantizer = hard(count_padding=padding, ema_decay=0.0)
        out = quantizer(x, mask, collect=True)
        quantizer.update()
        counts[padding] = float(quantizer.counts.sum())
        assert (out.codes[0, 4:] == -1).all()
        assert not out.z[0, 4:].any()
    assert counts == {False: 4.0, True: 10.0}


@pytest.mark.parametrize("accumulate", [1, 2, 4])
@pytest.mark.parametrize("extra", [0, 6])
def test_a_step_updates_the_codebook_once_for_all_its_passes(accumulate: int, extra: int) -> None:
    tokens, others = torch.randn(3, 64, 4), torch.randn(6, 64, 4)
    once, many = hard(ema_decay=0.9), hard(ema_decay=0.9)
    for step in tokens:
        once(step, all_live(step), collect=True)
        once.update()
        for part in step.chunk(accumulate):
            many(part, all_live(part), collect=True)
            for augmented in others[:extra]:
                many(augmented, all_live(augmented))
        many.update()
    for name, value in once.state_dict().items():
        if name != "forwards":
            assert torch.allclose(many.state_dict()[name].double(), value.double(), atol=1e-5), name
    assert int(many.forwards) == 3 * accumulate


def test_the_published_update_happens_at_every_training_forward() -> None:
    x = torch.randn(64, 4)
    one, six = hard(update="forward"), hard(update="forward")
    one(x, all_live(x))
    for _ in range(6):
        six(x, all_live(x))
    counts = torch.bincount(one.eval().assign(x), minlength=8)
    assert float(one.counts.sum()) == pytest.approx(0.99 * 8 + 0.01 * 64, rel=1e-5)
    assert float(six.counts.sum()) == pytest.approx(0.99**6 * 8 + (1 - 0.99**6) * 64, rel=1e-5)
    assert counts.sum() == 64
    before = snapshot(six)
    six.update()
    assert all(torch.equal(v, before[k]) for k, v in six.state_dict().items() if k != "age")


@pytest.mark.parametrize("value", [9.0, torch.nan])
def test_a_skipped_step_has_no_effect(value: float) -> None:
    quantizer, x = hard(), torch.randn(64, 4)
    quantizer(x, all_live(x), collect=True)
    quantizer.update()
    before = copy.deepcopy(quantizer)
    left_out = torch.full_like(x, value)
    quantizer(left_out, all_live(x), collect=True)
    quantizer.end_step(skipped=True)
    assert torch.equal(quantizer.age, before.age)
    for q in (quantizer, before):
        q(x + 1, all_live(x), collect=True)
        q.end_step()
    for name in ("codebook", "counts", "age"):
        assert torch.equal(getattr(quantizer, name), getattr(before, name))


def test_ages_count_the_optimiser_steps_since_a_code_was_used() -> None:
    quantizer = hard(dim=1, size=3)
    quantizer.revive(torch.arange(3), torch.tensor([[0.0], [10.0], [20.0]]), torch.ones(3))
    for values in ([0.0, 10.0], [0.0], [0.0]):
        x = torch.tensor(values)[:, None]
        quantizer(x, all_live(x), collect=True)
        quantizer.update()
    assert quantizer.age.tolist() == [0, 2, 3]


@pytest.mark.parametrize("init", ["kmeans", "data"])
def test_codes_start_once_at_the_first_tokens_without_the_global_stream(init: str) -> None:
    centres = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])
    x = (centres[:, None] + 0.01 * torch.randn(4, 100, 2)).flatten(0, 1)
    quantizer, stream = hard(dim=2, size=4, init=init), torch.get_rng_state()
    quantizer.eval()
    quantizer(x, all_live(x))
    assert not bool(quantizer.initialized)
    quantizer.train()
    quantizer(x, all_live(x))
    assert torch.equal(torch.get_rng_state(), stream)
    assert bool(quantizer.initialized)
    first = quantizer.codebook.clone()
    if init == "kmeans":
        assert torch.allclose(first[nearest(centres, first)], centres, atol=0.01)
        assert len(nearest(centres, first).unique()) == 4
    else:
        assert all((x == code).all(1).any() for code in first)
    quantizer(x + 7, all_live(x))
    assert torch.equal(quantizer.codebook, first)
    assert torch.equal(quantizer.sums, first)


@pytest.mark.parametrize("init", ["kmeans", "data"])
def test_more_codes_than_tokens_warn_and_start_near_the_tokens(init: str) -> None:
    quantizer, x = hard(size=16, init=init), torch.randn(5, 4)
    with pytest.warns(UserWarning, match="16 codes starts from 5 live tokens"):
        quantizer(x, all_live(x))
    assert len(quantizer.codebook.unique(dim=0)) == 16
    assert float(squared_distances(quantizer.codebook, x).min(1).values.sqrt().max()) < 0.2


def test_equal_tokens_give_a_finite_codebook() -> None:
    quantizer, x = hard(size=4, init="kmeans"), torch.ones(50, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = quantizer(x, all_live(x), collect=True)
    quantizer.update()
    assert torch.isfinite(quantizer.codebook).all()
    assert torch.equal(out.z, x)
