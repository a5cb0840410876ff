"""The hard quantiser: its loss and gradients, the mask, and codes that are means of their members."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lab.networks.vq import HardQuantizer, build_quantizer
from jepa_lab.networks.vq_maths import nearest, squared_distances, straight_through


def hard(dim: int = 4, size: int = 8, **options: Any) -> HardQuantizer:
    quantizer = build_quantizer("hard", dim, size, **{"init": "uniform", **options})
    assert isinstance(quantizer, HardQuantizer)
    return quantizer


def all_live(x: Tensor) -> Tensor:
    return torch.ones(x.shape[:-1], dtype=torch.bool)


def snapshot(quantizer: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in quantizer.state_dict().items()}


def test_distances_are_those_of_the_differences() -> None:
    x, e = torch.randn(7, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    longhand = (x[:, None] - e[None]).square().sum(-1)
    assert torch.allclose(squared_distances(x, e), longhand, atol=1e-12)
    assert torch.equal(nearest(x, e), longhand.argmin(1))


def test_distances_are_float32_under_autocast_too() -> None:
    quantizer, x = hard(size=64, init="data"), torch.randn(256, 4)
    quantizer(x, all_live(x))
    quantizer.eval()
    plain = quantizer(x, all_live(x)).codes
    with torch.autocast("cpu", torch.bfloat16):
        again = quantizer(x, all_live(x))
    assert torch.equal(again.codes, plain)
    assert again.loss.total.dtype == torch.float32


def test_straight_through_gives_the_code_exactly_and_the_gradient_unchanged() -> None:
    x = (torch.randn(6, 4) * 1e3).requires_grad_()
    q = torch.randn(6, 4)
    z, upstream = straight_through(x, q), torch.randn(6, 4)
    assert torch.equal(z, q)
    (z * upstream).sum().backward()
    assert torch.equal(x.grad, upstream)  # type: ignore[arg-type]


def test_z_is_the_code_of_every_live_place_and_its_gradient_that_of_z() -> None:
    quantizer, x = hard(), torch.randn(3, 5, 4, requires_grad=True)
    mask = torch.rand(3, 5) > 0.3
    out, upstream = quantizer(x, mask), torch.randn(3, 5, 4)
    assert torch.equal(out.z[mask], quantizer.codebook[out.codes[mask]])
    (out.z * upstream).sum().backward()
    assert torch.equal(x.grad, torch.where(mask[..., None], upstream, 0.0))  # type: ignore[arg-type]


def test_masked_places_give_zero_minus_one_no_loss_and_no_statistic() -> None:
    x, mask = torch.randn(4, 6, 4), torch.zeros(4, 6, dtype=torch.bool)
    mask[:, :3] = True
    spoilt = torch.where(mask[..., None], x, torch.full_like(x, torch.nan))
    one, two = hard(), hard()
    a, b = one(x, mask, collect=True), two(spoilt, mask, collect=True)
    one.update()
    two.update()
    assert torch.equal(a.z, b.z)
    assert torch.equal(b.z[~mask], torch.zeros(12, 4))
    assert (b.codes[~mask] == -1).all()
    assert (b.codes[mask] >= 0).all()
    assert torch.equal(a.loss.total, b.loss.total)
    assert all(torch.equal(v, two.state_dict()[k]) for k, v in one.state_dict().items())


def test_without_a_live_token_the_loss_is_zero_and_no_code_moves() -> None:
    quantizer, x = hard(), torch.randn(2, 3, 4, requires_grad=True)
    before = quantizer.codebook.clone()
    out = quantizer(x, torch.zeros(2, 3, dtype=torch.bool), collect=True)
    quantizer.update()
    out.loss.total.backward()
    assert out.loss.total.item() == 0
    assert torch.equal(quantizer.codebook, before)
    assert (quantizer.age == 1).all()


def test_the_loss_is_beta_times_the_mean_square_over_live_tokens_and_dimensions() -> None:
    quantizer, x = hard(commitment=0.25), torch.randn(2, 5, 4, requires_grad=True)
    mask = torch.tensor([[True, True, False, True, False], [True, False, False, False, True]])
    out = quantizer(x, mask)
    live, chosen = x[mask], quantizer.codebook[out.codes[mask]]
    longhand = sum(((t - c) ** 2).item() for r, s in zip(live, chosen, strict=True) for t, c in zip(r, s, strict=True))
    assert float(out.loss.terms["commitment"]) == pytest.approx(longhand / (5 * 4), rel=1e-5)
    assert float(out.loss.total) == pytest.approx(0.25 * longhand / (5 * 4), rel=1e-5)
    assert set(out.loss.terms) == {"commitment"}
    out.loss.total.backward()
    expected = torch.zeros_like(x)
    expected[mask] = 0.25 * 2.0 * (live - chosen).detach() / (5 * 4)
    assert torch.allclose(x.grad, expected, atol=1e-7)  # type: ignore[arg-type]


@pytest.mark.parametrize(("weight_on", "on_tokens", "on_codes"), [("commitment", 0.3, 1.0), ("codebook", 1.0, 0.3)])
def test_a_codebook_by_gradient_has_both_terms_and_the_weight_where_it_is_said(
    weight_on: str, on_tokens: float, on_codes: float
) -> None:
    quantizer = hard(commitment=0.3, ema_decay=None, weight_on=weight_on)
    x = torch.randn(10, 4, requires_grad=True)
    out = quantizer(x, all_live(x))
    out.loss.total.backward()
    difference = (x - quantizer.codebook[out.codes]).detach()
    to_codes = torch.zeros(8, 4).index_add_(0, out.codes, -2.0 * difference / x.numel())
    assert torch.allclose(x.grad, on_tokens * 2.0 * difference / x.numel(), atol=1e-7)  # type: ignore[arg-type]
    assert torch.allclose(quantizer.vectors.grad, on_codes * to_codes, atol=1e-7)  # type: ignore[arg-type]
    assert float(out.loss.terms["commitment"]) == pytest.approx(float(out.loss.terms["codebook"]))


@pytest.mark.parametrize("decay", [0.99, None])
def test_the_published_objective_reports_the_terms_and_gives_no_gradient(decay: float | None) -> None:
    quantizer, x = hard(in_objective=False, ema_decay=decay), torch.randn(10, 4, requires_grad=True)
    loss = quantizer(x, all_live(x)).loss
    assert float(loss.total) == 0
    assert not loss.total.requires_grad
    assert float(loss.terms["commitment"]) > 0
    assert not any(term.requires_grad for term in loss.terms.values())


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


def test_a_code_without_members_keeps_its_vector_to_the_last_bit_for_ever() -> None:
    quantizer = hard(dim=2, size=3, ema_decay=0.5)
    quantizer.revive(torch.arange(3), torch.tensor([[0.0, 0.0], [9.1, 0.3], [8.0, 8.0]]), torch.ones(3))
    kept, x = quantizer.codebook[1:].clone(), torch.randn(50, 2) * 0.1
    for _ in range(200):  # 0.5 ** 200 is no float32 any more
        quantizer(x, all_live(x), collect=True)
        quantizer.update()
    assert torch.equal(quantizer.codebook[1:], kept)
    back = torch.tensor([[9.0, 0.0], [9.2, 0.2]])
    quantizer(back, all_live(back), collect=True)
    quantizer.update()
    assert torch.allclose(quantizer.codebook[1], back.mean(0))


def test_no_code_is_longer_than_the_tokens_and_codes_after_the_first_step() -> None:
    quantizer, x = hard(dim=384, size=768), torch.randn(1000, 384)
    longest = float(torch.cat([x, quantizer.codebook]).norm(dim=1).max())
    quantizer(x, all_live(x), collect=True)
    quantizer.update()
    assert float(quantizer.codebook.norm(dim=1).max()) <= longest * 1.0001


def test_the_published_start_explodes_in_one_step() -> None:
    quantizer = hard(dim=384, size=768, init="empty", update="forward")
    assert float(quantizer.codebook.norm(dim=1).median()) == pytest.approx(math.sqrt(384 / 3) / 768, rel=0.02)
    x = torch.randn(2000, 384)
    unused = torch.ones(768, dtype=torch.bool)
    unused[quantizer(x, all_live(x)).codes.unique()] = False
    assert 1300 < float(quantizer.codebook[unused].norm(dim=1).median()) < 1600
    assert float(quantizer.codebook[~unused].norm(dim=1).max()) < 100


def test_the_published_padding_is_counted_but_gets_nothing_back() -> None:
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
def test_a_step_updates_the_codebook_once_whatever_the_accumulation_and_the_extra_passes(
    accumulate: int, extra: int
) -> None:
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


def test_the_published_update_comes_with_every_training_forward() -> None:
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


def test_a_step_that_is_left_out_leaves_no_trace() -> None:
    quantizer, x = hard(), torch.randn(64, 4)
    quantizer(x, all_live(x), collect=True)
    quantizer.update()
    before = copy.deepcopy(quantizer)
    spoilt = torch.full_like(x, torch.nan)
    quantizer(spoilt, all_live(spoilt), collect=True)
    quantizer.end_step(skipped=True)
    for q in (quantizer, before):
        q(x + 1, all_live(x), collect=True)
        q.end_step()
    assert torch.equal(quantizer.codebook, before.codebook)
    assert torch.equal(quantizer.counts, before.counts)


def test_ages_count_the_optimiser_steps_since_a_code_was_used() -> None:
    quantizer = hard(dim=1, size=3)
    quantizer.revive(torch.arange(3), torch.tensor([[0.0], [10.0], [20.0]]), torch.ones(3))
    for values in ([0.0, 10.0], [0.0], [0.0]):
        x = torch.tensor(values)[:, None]
        quantizer(x, all_live(x), collect=True)
        quantizer.update()
    assert quantizer.age.tolist() == [0, 2, 3]


@pytest.mark.parametrize("init", ["kmeans", "data"])
def test_codes_begin_at_the_first_tokens_once_and_without_the_global_stream(init: str) -> None:
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
def test_more_codes_than_tokens_is_said_and_filled(init: str) -> None:
    quantizer, x = hard(size=16, init=init), torch.randn(5, 4)
    with pytest.warns(UserWarning, match="16 codes begins with 5 live tokens"):
        quantizer(x, all_live(x))
    assert len(quantizer.codebook.unique(dim=0)) == 16
    assert float(squared_distances(quantizer.codebook, x).min(1).values.sqrt().max()) < 0.2


def test_tokens_that_are_all_equal_make_a_finite_codebook() -> None:
    quantizer, x = hard(size=4, init="kmeans"), torch.ones(50, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = quantizer(x, all_live(x), collect=True)
    quantizer.update()
    assert torch.isfinite(quantizer.codebook).all()
    assert torch.equal(out.z, x)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"weight_on": "both"}, "weight_on"),
        ({"commitment": -0.1}, "commitment"),
        ({"init": "zeros"}, "init"),
        ({"update": "batch"}, "update"),
        ({"size": 0}, "size"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        build_quantizer("hard", 4, **{"size": 8, **options})


def test_a_wrong_shape_is_shown() -> None:
    quantizer = hard()
    for x, mask in [(torch.zeros(2, 3), torch.ones(2, dtype=torch.bool)), (torch.zeros(2, 4), torch.ones(2))]:
        with pytest.raises(ValueError, match="expected x"):
            quantizer(x, mask)
