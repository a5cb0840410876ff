"""The hard quantizer: its loss and gradients, the mask, and its options."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lab.networks.vq.build import HardQuantizer, build_quantizer
from jepa_lab.networks.vq.maths import nearest, squared_distances, straight_through


def hard(dim: int = 4, size: int = 8, **options: Any) -> HardQuantizer:
    quantizer = build_quantizer("hard", dim, size, **{"init": "uniform", **options})
    assert isinstance(quantizer, HardQuantizer)
    return quantizer


def all_live(x: Tensor) -> Tensor:
    return torch.ones(x.shape[:-1], dtype=torch.bool)


def test_squared_distances_match_the_explicit_differences() -> None:
    x, e = torch.randn(7, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    longhand = (x[:, None] - e[None]).square().sum(-1)
    assert torch.allclose(squared_distances(x, e), longhand, atol=1e-12)
    assert torch.equal(nearest(x, e), longhand.argmin(1))


def test_squared_distances_are_float32_under_autocast() -> None:
    quantizer, x = hard(size=64, init="data"), torch.randn(256, 4)
    quantizer(x, all_live(x))
    quantizer.eval()
    plain = quantizer(x, all_live(x)).codes
    with torch.autocast("cpu", torch.bfloat16):
        again = quantizer(x, all_live(x))
    assert torch.equal(again.codes, plain)
    assert again.loss.total.dtype == torch.float32


def test_straight_through_returns_the_exact_code_and_gradient() -> None:
    x = (torch.randn(6, 4) * 1e3).requires_grad_()
    q = torch.randn(6, 4)
    z, upstream = straight_through(x, q), torch.randn(6, 4)
    assert torch.equal(z, q)
    (z * upstream).sum().backward()
    assert torch.equal(x.grad, upstream)  # type: ignore[arg-type]


def test_z_is_the_code_at_live_places_and_x_gets_the_gradient_of_z() -> None:
    quantizer, x = hard(), torch.randn(3, 5, 4, requires_grad=True)
    mask = torch.rand(3, 5) > 0.3
    out, upstream = quantizer(x, mask), torch.randn(3, 5, 4)
    assert torch.equal(out.z[mask], quantizer.codebook[out.codes[mask]])
    (out.z * upstream).sum().backward()
    assert torch.equal(x.grad, torch.where(mask[..., None], upstream, 0.0))  # type: ignore[arg-type]


def test_masked_places_get_z_0_and_code_minus_1_and_have_no_effect() -> None:
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


def test_without_live_tokens_the_loss_is_0_and_no_code_moves() -> None:
    quantizer, x = hard(), torch.randn(2, 3, 4, requires_grad=True)
    before = quantizer.codebook.clone()
    out = quantizer(x, torch.zeros(2, 3, dtype=torch.bool), collect=True)
    quantizer.update()
    out.loss.total.backward()
    assert out.loss.total.item() == 0
    assert torch.equal(quantizer.codebook, before)
    assert (quantizer.age == 1).all()


def test_the_loss_is_beta_times_the_mean_square_over_live_tokens() -> None:
    quantizer, x = hard(commitment=0.25), torch.randn(2, 5, 4, requires_grad=True)
    mask = torch.tensor([[True, True, False, True, False], [True, False, False, False, True]])
    out = quantizer(x, mask)
    live, chosen = x[mask], quantizer.codebook[out.codes[mask]]
    longhand = sum(
        ((t - c) ** 2).item()
        for r, s in zip(live, chosen, strict=True)
        for t, c in zip(r, s, strict=True)
    )
    assert out.loss.terms["commitment"].item() == pytest.approx(longhand / (5 * 4), rel=1e-5)
    assert out.loss.total.item() == pytest.approx(0.25 * longhand / (5 * 4), rel=1e-5)
    assert set(out.loss.terms) == {"commitment"}
    out.loss.total.backward()
    expected = torch.zeros_like(x)
    expected[mask] = 0.25 * 2.0 * (live - chosen).detach() / (5 * 4)
    assert torch.allclose(x.grad, expected, atol=1e-7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("weight_on", "on_tokens", "on_codes"), [("commitment", 0.3, 1.0), ("codebook", 1.0, 0.3)]
)
def test_a_codebook_by_gradient_has_two_terms_and_weight_on_selects_one(
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
    assert out.loss.terms["commitment"].item() == pytest.approx(out.loss.terms["codebook"].item())


@pytest.mark.parametrize("decay", [0.99, None])
def test_the_published_objective_reports_terms_without_gradient(decay: float | None) -> None:
    quantizer, x = hard(in_objective=False, ema_decay=decay), torch.randn(10, 4, requires_grad=True)
    loss = quantizer(x, all_live(x)).loss
    assert float(loss.total) == 0
    assert not loss.total.requires_grad
    assert float(loss.terms["commitment"]) > 0
    assert not any(term.requires_grad for term in loss.terms.values())


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
def test_a_wrong_option_raises_an_error_with_its_name(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        build_quantizer("hard", 4, **{"size": 8, **options})


def test_a_wrong_shape_raises_an_error_with_the_shape() -> None:
    quantizer = hard()
    for x, mask in [
        (torch.zeros(2, 3), torch.ones(2, dtype=torch.bool)),
        (torch.zeros(2, 4), torch.ones(2)),
    ]:
        with pytest.raises(ValueError, match="expected x"):
            quantizer(x, mask)
