import pytest
import torch
from torch import Tensor, nn

from jepa_lab.errors import UserError
from jepa_lab.networks.aggregator import TransformerAggregator, sincos_positions
from jepa_lab.networks.heads import ActionProjection, mlp_predictor
from jepa_lab.studies.seq_jepa.network import SeqJEPANetwork


class Recorder(nn.Module):
    """An aggregator that returns its tokens."""

    def forward(self, tokens: Tensor) -> Tensor:
        self.tokens = tokens
        return tokens.mean(1)


def network(
    aggregator: nn.Module, dim: int = 8, action_dim: int = 2, width: int = 4
) -> SeqJEPANetwork:
    encoder = nn.Sequential(nn.Flatten(), nn.LazyLinear(dim))
    return SeqJEPANetwork(
        encoder,
        aggregator,
        mlp_predictor(dim + 2 * width, dim, 16),
        ActionProjection(action_dim, width),
    )


def test_only_the_last_token_has_a_zero_action_slot() -> None:
    recorder = Recorder()
    net = network(recorder)
    z, actions = torch.randn(5, 3, 8), torch.randn(5, 3, 2)
    net.aggregate(z, actions)
    embedded = net.action_projection(actions)
    assert torch.equal(recorder.tokens[..., :8], z)
    assert torch.allclose(recorder.tokens[:, :2, 8:], embedded[:, :2], atol=1e-6)
    assert torch.all(recorder.tokens[:, 2, 8:] == 0)


def test_only_the_predictor_gets_the_action_towards_the_target() -> None:
    net = network(Recorder()).eval()
    z, actions = torch.randn(5, 3, 8), torch.randn(5, 3, 2)
    changed = actions.clone()
    changed[:, -1] += 1.0
    (agg, hat), (agg_changed, hat_changed) = net.predict(z, actions), net.predict(z, changed)
    assert torch.equal(agg, agg_changed)
    assert not torch.allclose(hat, hat_changed)


def test_blind_aggregate_has_zero_action_slots() -> None:
    net = network(Recorder()).eval()
    z = torch.randn(5, 3, 8)
    blind = net.aggregate_blind(z)
    assert not torch.allclose(blind, net.aggregate(z, torch.randn(5, 3, 2)))
    assert torch.allclose(blind[:, :8], z.mean(1), atol=1e-6)
    assert torch.all(blind[:, 8:] == 0)


def test_actions_are_normalised_in_one_call_without_rows_of_zeros() -> None:
    projection = ActionProjection(2, 4)
    actions = torch.randn(6, 3, 2)
    expected = nn.functional.batch_norm(
        projection.linear(actions.view(-1, 2)), None, None, training=True
    )
    assert torch.allclose(projection(actions).view(-1, 4), expected, atol=1e-6)
    assert int(projection.norm.num_batches_tracked) == 1


def test_aggregate_ignores_token_order_without_positions() -> None:
    aggregator = TransformerAggregator(8, depth=2, heads=2).eval()
    tokens = torch.randn(4, 3, 8)
    assert torch.allclose(aggregator(tokens), aggregator(tokens.flip(1)), atol=1e-5)


@pytest.mark.parametrize("positions", ["learned", "sincos"])
def test_positions_make_the_token_order_matter(positions: str) -> None:
    aggregator = TransformerAggregator(8, depth=2, heads=2, positions=positions).eval()
    tokens = torch.randn(4, 3, 8)
    assert not torch.allclose(aggregator(tokens), aggregator(tokens.flip(1)), atol=1e-3)


@pytest.mark.parametrize("m", [1, 2, 5, 9])
def test_any_number_of_observed_views_is_accepted(m: int) -> None:
    net = network(TransformerAggregator(12, depth=1, heads=2)).eval()
    z_agg, z_hat = net.predict(torch.randn(3, m, 8), torch.randn(3, m, 2))
    assert z_agg.shape == (3, 12)
    assert z_hat.shape == (3, 8)


def test_published_parts_have_the_published_parameter_counts() -> None:
    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    assert count(TransformerAggregator(640, depth=3, heads=4)) == 14_772_480
    assert count(mlp_predictor(640 + 128, 512, 1024)) == 1_313_280
    assert count(ActionProjection(2, 128)) == 2 * 128


def test_layers_of_the_aggregator_have_different_initial_weights() -> None:
    aggregator = TransformerAggregator(8, depth=2, heads=2)
    one, two = (block.linear1.weight for block in aggregator.blocks)
    assert not torch.equal(one, two)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(UserError, match=r"model.heads=3.*640"):
        TransformerAggregator(640, heads=3)


def test_sincos_positions_have_constant_norm_for_even_width() -> None:
    code = sincos_positions(7, 10)
    assert torch.allclose(code.square().sum(1), torch.full((7,), 5.0), atol=1e-5)


@pytest.mark.parametrize(("views", "reused"), [(1, True), (3, False)])
def test_the_blind_aggregate_is_the_aggregate_where_no_slot_holds_an_action(
    views: int, reused: bool
) -> None:
    net = network(Recorder())
    z, actions = torch.randn(5, views, 8), torch.randn(5, views, 2)
    z_agg = net.aggregate(z, actions)
    assert (net.aggregate_blind(z, z_agg) is z_agg) == reused
    assert torch.equal(net.aggregate_blind(z, z_agg), net.aggregate_blind(z)) or not reused
