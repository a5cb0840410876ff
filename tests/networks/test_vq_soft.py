"""Gumbel samples and finite scalar quantisation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from jepa_lab.networks.vq.build import FiniteScalarQuantizer, GumbelQuantizer, build_quantizer
from jepa_lab.networks.vq.maths import squared_distances, usage_deficit


def gumbel(**options: object) -> GumbelQuantizer:
    quantizer = build_quantizer("gumbel", 4, 8, init="uniform", **options)  # type: ignore[arg-type]
    assert isinstance(quantizer, GumbelQuantizer)
    return quantizer


def fsq(levels: list[int], dim: int = 6) -> FiniteScalarQuantizer:
    quantizer = build_quantizer("fsq", dim, levels=levels)
    assert isinstance(quantizer, FiniteScalarQuantizer)
    return quantizer


def all_live(x: Tensor) -> Tensor:
    return torch.ones(x.shape[:-1], dtype=torch.bool)


def test_the_usage_deficit_is_zero_at_uniform_use_and_ln_k_for_one_code() -> None:
    assert float(usage_deficit(torch.eye(16))) == pytest.approx(0.0, abs=1e-6)
    assert float(usage_deficit(torch.full((3, 16), 1 / 16))) == pytest.approx(0.0, abs=1e-6)
    assert float(usage_deficit(torch.eye(16)[:1].expand(5, 16))) == pytest.approx(math.log(16))
    half = torch.eye(16)[:8]
    assert float(usage_deficit(half[torch.randperm(8)])) == pytest.approx(math.log(2), abs=1e-6)
    with pytest.raises(ValueError, match=r"\(0, 16\)"):
        usage_deficit(torch.zeros(0, 16))


def test_the_usage_term_uses_soft_choices_and_has_a_gradient() -> None:
    quantizer, x = gumbel(usage_weight=0.3), torch.randn(50, 4, requires_grad=True)
    loss = quantizer(x, all_live(x)).loss
    mean = torch.softmax(-(x[:, None] - quantizer.codebook).square().sum(-1), dim=1).mean(0)
    assert loss.terms["usage"].item() == pytest.approx(
        math.log(8) + (mean * mean.log()).sum().item(), abs=1e-5
    )
    assert loss.total.item() == pytest.approx(0.3 * loss.terms["usage"].item())
    loss.total.backward()
    assert float(x.grad.abs().max()) > 0  # type: ignore[union-attr]
    assert float(quantizer.vectors.grad.abs().max()) > 0  # type: ignore[union-attr]


def test_minimising_the_usage_term_spreads_the_choices() -> None:
    quantizer, x = (
        gumbel(gumbel_scale=4.0),
        0.1 * torch.randn(200, 4) + torch.tensor([1.0, 0.0, 0.0, 0.0]),
    )
    optimiser = torch.optim.Adam(quantizer.parameters(), lr=0.05)
    first = quantizer(x, all_live(x)).loss.terms["usage"].item()
    for _ in range(100):
        optimiser.zero_grad()
        quantizer(x, all_live(x)).loss.terms["usage"].backward()
        optimiser.step()
    assert quantizer(x, all_live(x)).loss.terms["usage"].item() < 0.1 * first


def test_the_published_objective_gives_the_usage_term_no_gradient() -> None:
    loss = gumbel(in_objective=False)(torch.randn(9, 4), torch.ones(9, dtype=torch.bool)).loss
    assert not loss.total.requires_grad
    assert not loss.terms["usage"].requires_grad
    assert loss.terms["usage"].item() > 0


def test_samples_follow_the_probabilities_and_give_all_codes_a_gradient() -> None:
    quantizer = gumbel(gumbel_scale=0.3)
    x = torch.randn(4).expand(20000, 4)
    out = quantizer(x, all_live(x))
    assert torch.allclose(out.z, quantizer.codebook[out.codes], atol=1e-5)
    shares = torch.bincount(out.codes, minlength=8) / len(x)
    expected = torch.softmax(-0.3 * squared_distances(x[:1], quantizer.vectors), dim=1)[0]
    assert torch.allclose(shares, expected, atol=0.015)
    out.z.square().sum().backward()
    assert bool((quantizer.vectors.grad.abs().sum(1) > 0).all())  # type: ignore[union-attr]


def test_noise_comes_from_the_global_stream_and_only_in_training() -> None:
    quantizer, x = gumbel(), torch.randn(100, 4)
    torch.manual_seed(1)
    first = quantizer(x, all_live(x)).codes
    again = quantizer(x, all_live(x)).codes
    torch.manual_seed(1)
    assert torch.equal(quantizer(x, all_live(x)).codes, first)
    assert not torch.equal(again, first)
    quantizer.eval()
    stream = torch.get_rng_state()
    out = quantizer(x, all_live(x))
    assert torch.equal(out.codes, torch.cdist(x, quantizer.codebook).argmin(1))
    assert torch.equal(torch.get_rng_state(), stream)


def test_the_temperature_falls_linearly_with_the_share_of_the_run() -> None:
    quantizer = gumbel(gumbel_temperature=(2.0, 0.5))
    at = {}
    for share in (0.0, 0.5, 1.0, 1.5):
        quantizer.set_progress(share)
        at[share] = quantizer.temperature
    assert at == {0.0: 2.0, 0.5: 1.25, 1.0: 0.5, 1.5: 0.5}


@pytest.mark.parametrize(("until", "at_a_quarter"), [(0.5, 1.25), (0.25, 0.5), (0.0, 0.5)])
def test_the_temperature_stays_at_its_end_after_its_share_of_the_run(
    until: float, at_a_quarter: float
) -> None:
    quantizer = gumbel(gumbel_temperature=(2.0, 0.5), gumbel_share=until)
    quantizer.set_progress(0.25)
    assert quantizer.temperature == at_a_quarter
    quantizer.set_progress(max(until, 0.25))
    assert quantizer.temperature == 0.5


@pytest.mark.parametrize("levels", [[8, 6, 5], [7, 5, 5, 5], [2, 3], [2]])
def test_fsq_codes_are_a_bijection_of_the_grid(levels: list[int]) -> None:
    quantizer = fsq(levels)
    codes = torch.arange(math.prod(levels))
    values = quantizer.values_of(codes)
    assert quantizer.size == math.prod(levels)
    assert len(values.unique(dim=0)) == quantizer.size
    assert torch.equal(quantizer.codes_of(values), codes)
    assert [len(column.unique()) for column in values.T] == levels
    assert float(values.min()) == -1.0
    assert float(values.max()) <= 1.0


@pytest.mark.parametrize("levels", [[8, 6, 5], [2, 3]])
def test_fsq_reaches_every_level_and_none_beyond(levels: list[int]) -> None:
    quantizer = fsq(levels)
    y = torch.linspace(-9, 9, 2001)[:, None].expand(-1, len(levels))
    values = quantizer.rounded(y)
    assert [len(column.unique()) for column in values.T] == levels
    rows = torch.cartesian_prod(*(column.unique() for column in values.T))
    assert quantizer.codes_of(rows).sort().values.tolist() == list(range(quantizer.size))
    grid = quantizer.values_of(torch.arange(quantizer.size))
    assert all(
        torch.equal(column.unique(), line.unique())
        for column, line in zip(values.T, grid.T, strict=True)
    )


def test_fsq_rounds_0_to_the_middle_and_has_the_gradient_of_the_bounding() -> None:
    quantizer, y = fsq([5, 5]), torch.zeros(1, 2, requires_grad=True)
    values = quantizer.rounded(y)
    assert torch.equal(values, torch.zeros(1, 2))
    values.sum().backward()
    assert torch.allclose(y.grad, torch.full((1, 2), 2 * 1.001 / 2))  # type: ignore[arg-type]


def test_z_of_fsq_is_a_row_of_its_codebook_and_trains_both_linear_maps() -> None:
    quantizer, x = fsq([4, 4, 3]), torch.randn(3, 7, 6)
    mask = torch.rand(3, 7) > 0.4
    out = quantizer(x, mask, collect=True)
    assert torch.allclose(out.z[mask], quantizer.codebook[out.codes[mask]], atol=1e-6)
    assert not out.z[~mask].any()
    assert out.loss.total.item() == 0
    assert out.loss.terms == {}
    out.z.square().sum().backward()
    assert all(bool((p.grad != 0).any()) for p in quantizer.parameters())
    quantizer.update()
    assert (quantizer.age == 0).sum() == len(out.codes[mask].unique())


def test_fsq_without_levels_or_with_one_level_raises() -> None:
    for levels in (None, [], [4, 1]):
        with pytest.raises(ValueError, match="levels"):
            build_quantizer("fsq", 4, levels=levels)
    with pytest.raises(ValueError, match="hard, gumbel, fsq"):
        build_quantizer("product", 4)
    with pytest.raises(ValueError, match="revived"):
        fsq([3, 3]).revive(torch.tensor([0]), torch.zeros(1, 6), torch.ones(1))


def test_tokens_that_are_not_finite_get_a_code_of_the_codebook() -> None:
    quantizer = fsq([4, 3, 2])
    codes = quantizer.codes_of(torch.full((5, 3), math.nan))
    assert bool(((codes >= 0) & (codes < quantizer.size)).all())
    diverged = quantizer.train()(torch.full((2, 5, 6), math.nan), torch.ones(2, 5).bool())
    assert bool(diverged.z.isnan().all())
