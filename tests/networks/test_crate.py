"""CRATE compared with its explicit formulas."""

import math

import pytest
import torch

from jepa_lab.errors import UserError
from jepa_lab.networks.crate import (
    CrateAggregator,
    CrateBlock,
    CratePredictor,
    SparseStep,
    SubspaceAttention,
    zero_shares,
)


def test_subspace_attention_matches_the_formula() -> None:
    attention, x = SubspaceAttention(12, heads=3), torch.randn(2, 5, 12)
    expected = torch.empty_like(x)
    for b in range(2):
        heads = []
        for h in range(3):
            u = x[b] @ attention.subspaces.weight.T[:, 4 * h : 4 * h + 4]
            heads.append(torch.softmax(u @ u.T / math.sqrt(4), dim=-1) @ u)
        expected[b] = torch.cat(heads, dim=-1) @ attention.out.weight.T
    assert torch.allclose(attention(x), expected, atol=1e-6)


def test_the_sparse_step_matches_the_formula_and_is_sparse() -> None:
    step, x = SparseStep(8, eta=0.1, sparsity=0.5), torch.randn(3, 4, 8)
    d = step.dictionary
    rows = [torch.relu(v + 0.1 * (d.T @ v - d.T @ d @ v) - 0.1 * 0.5) for v in x.reshape(-1, 8)]
    out = step(x)
    assert torch.allclose(out, torch.stack(rows).view_as(x), atol=1e-6)
    assert bool((out >= 0).all())
    assert step.zero_share is not None
    assert float(step.zero_share) == float((out == 0).float().mean()) > 0.2


def test_a_higher_threshold_leaves_fewer_nonzero_entries() -> None:
    x, shares = torch.randn(64, 16), []
    for sparsity in (0.0, 1.0, 5.0):
        torch.manual_seed(0)
        step = SparseStep(16, eta=0.1, sparsity=sparsity)
        step(x)
        assert step.zero_share is not None
        shares.append(float(step.zero_share))
    assert shares[0] < shares[1] < shares[2]


def test_a_step_within_the_lipschitz_bound_lowers_the_lasso_objective() -> None:
    step, x = SparseStep(8, eta=0.1, sparsity=0.3), torch.randn(50, 8).abs()  # a feasible start
    step.eta = float(0.9 / torch.linalg.matrix_norm(step.dictionary.detach(), 2) ** 2)

    def objective(z: torch.Tensor) -> torch.Tensor:
        return 0.5 * (x - z @ step.dictionary.T).square().sum(-1) + 0.3 * z.abs().sum(-1)

    assert bool((objective(step(x)) <= objective(x) + 1e-5).all())


def test_a_block_has_about_3_d_squared_parameters() -> None:
    n = sum(p.numel() for p in CrateBlock(64, 4, 0.1, 0.1).parameters())
    assert n == 3 * 64 * 64 + 4 * 64


@pytest.mark.parametrize(
    ("positions", "is_set"), [("none", True), ("sincos", False), ("learned", False)]
)
def test_without_positions_the_order_of_tokens_has_no_effect(positions: str, is_set: bool) -> None:
    aggregator, tokens = (
        CrateAggregator(16, depth=2, heads=4, positions=positions),
        torch.randn(3, 5, 16),
    )
    aggregator.agg_token.data.normal_()
    same = torch.allclose(aggregator(tokens), aggregator(tokens[:, [3, 0, 4, 1, 2]]), atol=1e-5)
    assert same == is_set


def test_gradient_reaches_every_parameter() -> None:
    aggregator = CrateAggregator(16, depth=2, heads=4, positions="learned", max_views=5)
    predictor = CratePredictor(16, 6, 10, depth=2, heads=4)
    z_hat = predictor(torch.cat([aggregator(torch.randn(8, 5, 16)), torch.randn(8, 6)], dim=-1))
    assert z_hat.shape == (8, 10)
    (z_hat - torch.randn(8, 10)).square().mean().backward()
    for module in (aggregator, predictor):
        assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


def test_every_layer_reports_its_share_of_zeros() -> None:
    aggregator = CrateAggregator(16, depth=3, heads=4)
    assert zero_shares(aggregator) == {}
    aggregator(torch.randn(2, 3, 16))
    shares = zero_shares(aggregator)
    assert list(shares) == ["blocks.0", "blocks.1", "blocks.2"]
    assert all(0 <= float(s) <= 1 for s in shares.values())


def test_heads_that_do_not_divide_the_width_raise_an_error_with_the_key() -> None:
    with pytest.raises(UserError, match=r"model\.heads=3: the token width 16"):
        CrateAggregator(16, heads=3)
    with pytest.raises(UserError, match=r"model\.predictor_heads=5"):
        CratePredictor(16, 4, 8, heads=5)


def test_the_agg_token_does_not_dominate_the_gradient_at_the_start() -> None:
    aggregator = CrateAggregator(64, depth=2, heads=4)
    aggregator(torch.randn(32, 3, 64)).square().sum(dim=-1).sqrt().sin().sum().backward()
    squares = {
        n: float(p.grad.square().sum())
        for n, p in aggregator.named_parameters()
        if p.grad is not None
    }
    assert squares["agg_token"] < 0.5 * sum(squares.values())
