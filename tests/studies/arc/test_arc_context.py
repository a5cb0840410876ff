"""Context aggregators, predictor and projection: their definitions, and absent places."""

import pytest
import torch
from torch import Tensor

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.context import KINDS, ContextAggregator, Predictor, Projection, RoleMaps
from jepa_lab.studies.arc.data.batch import DEMO_INPUT, DEMO_OUTPUT, FRAME, QUERY

PLACES, WIDTH = 5, 8


def make_context(n: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns contexts of two demonstrations and a query. The first example lacks the second
    demonstration."""
    present = torch.ones(n, PLACES, dtype=torch.bool)
    present[0, 2:4] = False
    roles = torch.tensor([DEMO_INPUT, DEMO_OUTPUT, DEMO_INPUT, DEMO_OUTPUT, QUERY]).repeat(n, 1)
    pairs = torch.tensor([0, 0, 1, 1, 2]).repeat(n, 1)
    return torch.randn(n, PLACES, WIDTH), present, roles, pairs


def make(kind: str, **options: object) -> ContextAggregator:
    return ContextAggregator(kind, WIDTH, PLACES, 2, **options).eval()  # type: ignore[arg-type]


def perturb(module: torch.nn.Module) -> torch.nn.Module:
    """Moves weights away from their initial values, so that no test passes because of these."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_absent_places_have_no_influence_whatever_they_hold(kind: str) -> None:
    z, present, roles, pairs = make_context()
    aggregator = perturb(make(kind))
    before = aggregator(z, present, roles, pairs)
    z[0, 2:4] = torch.nan
    roles[0, 2:4] = 77
    pairs[0, 2:4] = -5
    assert torch.equal(aggregator(z, present, roles, pairs), before)
    present[0, 3] = True
    z[0, 3], roles[0, 3], pairs[0, 3] = 1.0, DEMO_OUTPUT, 1
    if kind != "last":
        assert not torch.allclose(aggregator(z, present, roles, pairs)[0], before[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_context_without_grids_gives_zero_and_finite_gradients(kind: str) -> None:
    z, present, roles, pairs = make_context()
    present[1] = False
    z.requires_grad_()
    aggregator = perturb(make(kind))
    z_agg = aggregator(z, present, roles, pairs)
    z_agg.square().sum().backward()
    assert not z_agg[1].any()
    assert z_agg[0].any()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in aggregator.parameters() if p.grad is not None)


def test_mean_and_last_without_roles_match_their_definition() -> None:
    z, present, roles, pairs = make_context()
    mean = make("mean", roles=False)(z, present, roles, pairs)
    assert torch.allclose(mean[0], z[0, [0, 1, 4]].mean(0), atol=1e-6)
    assert torch.allclose(mean[1:], z[1:].mean(1), atol=1e-6)
    assert torch.equal(make("last", roles=False)(z, present, roles, pairs), z[:, -1])
    present[0, 4] = False
    assert torch.equal(make("last", roles=False)(z, present, roles, pairs)[0], z[0, 1])


def test_learned_weights_are_a_softmax_over_present_places_for_every_channel() -> None:
    z, present, roles, pairs = make_context()
    aggregator = make("learned", roles=False)
    expected = torch.zeros(4, WIDTH)
    for b in range(4):
        there = present[b]
        for c in range(WIDTH):
            values = z[b, :, c] * there
            logits = aggregator.weights.weight @ values + aggregator.weights.bias
            expected[b, c] = logits[there].softmax(0) @ values[there]
    assert torch.allclose(aggregator(z, present, roles, pairs), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_weighted_mean_of_equal_grids_does_not_depend_on_the_weights(kind: str) -> None:
    """The published comparison of aggregations showed no difference: its grids were copies."""
    z, present, roles, pairs = make_context()
    z[:] = z[:, :1]
    z_agg = make(kind, roles=False)(z, present, roles, pairs)
    convex = kind in ("mean", "last", "learned")
    assert torch.allclose(z_agg, z[:, 0], atol=1e-6) == convex


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "last"])
def test_inputs_and_outputs_differ_only_with_roles(kind: str) -> None:
    z, present, roles, pairs = make_context()
    present[:] = True
    other = roles.clone()
    other[:, 0], other[:, 1] = DEMO_OUTPUT, DEMO_INPUT
    aware, blind = perturb(make(kind)), perturb(make(kind, roles=False))
    assert not torch.allclose(
        aware(z, present, roles, pairs), aware(z, present, other, pairs), atol=1e-4
    )
    assert torch.equal(blind(z, present, roles, pairs), blind(z, present, other, pairs))


def test_role_maps_are_linear_and_start_as_the_identity() -> None:
    maps, (z, _, roles, _) = RoleMaps(WIDTH), make_context()
    roles[0, 0] = FRAME
    assert torch.allclose(maps(z, roles), z, atol=1e-6)
    perturb(maps)
    expected = torch.stack(
        [
            torch.stack(
                [maps.weight[r] @ z[b, g] + maps.bias[r] for g, r in enumerate(roles[b].tolist())]
            )
            for b in range(4)
        ]
    )
    assert torch.allclose(maps(z, roles), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["mean", "attention", "gru"])
def test_an_absent_place_gives_the_same_result_as_a_missing_one(kind: str) -> None:
    z, present, roles, pairs = make_context()
    aggregator = perturb(make(kind))
    there = [0, 1, 4]
    if kind == "attention":
        x = (
            z[:1, there]
            + aggregator.pair_code[pairs[0, there]]
            + aggregator.role_code[roles[0, there]]
        )
        for block in aggregator.blocks:
            x = block(x, torch.ones(1, 1, 3, 3, dtype=torch.bool))
        expected = aggregator.norm(x)[:, -1]
    else:
        x = aggregator.roles(z[:1, there], roles[:1, there])
        expected = x.mean(1) if kind == "mean" else aggregator.gru(x)[1][-1]
    assert torch.allclose(aggregator(z, present, roles, pairs)[:1], expected, atol=1e-5)


def test_attention_uses_pairs_and_treats_demonstrations_as_a_set() -> None:
    z, present, roles, pairs = make_context()
    present[:] = True
    aggregator = perturb(make("attention", depth=2))
    before = aggregator(z, present, roles, pairs)
    order = torch.tensor([2, 3, 0, 1, 4])  # whole demonstrations, with their numbers
    moved = aggregator(z[:, order], present, roles[:, order], pairs[:, order])
    assert torch.allclose(moved, before, atol=1e-5)
    mixed = pairs.clone()
    mixed[:, 1], mixed[:, 3] = 1, 0  # swapped outputs
    assert not torch.allclose(aggregator(z, present, roles, mixed), before, atol=1e-4)


def test_gru_reads_the_present_places_in_order() -> None:
    z, present, roles, pairs = make_context()
    aggregator = make("gru", roles=False)
    z_agg = aggregator(z, present, roles, pairs)
    assert torch.allclose(z_agg[0], aggregator.gru(z[:1, [0, 1, 4]])[1][-1, 0], atol=1e-6)
    assert torch.allclose(z_agg[1:], aggregator.gru(z[1:])[1][-1], atol=1e-6)
    reversed_order = aggregator(z.flip(1), present, roles, pairs)
    assert not torch.allclose(reversed_order[1:], z_agg[1:], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind: str) -> None:
    z, present, roles, pairs = make_context()
    roles[:2] = FRAME
    aggregator = perturb(make(kind))
    (aggregator(z, present, roles, pairs) * torch.randn(4, WIDTH)).sum().backward()
    dead = [name for name, p in aggregator.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead


def test_the_predictor_adds_to_its_input() -> None:
    predictor, z_agg = Predictor(WIDTH, 16), torch.randn(4, WIDTH)
    assert not torch.allclose(predictor(z_agg), z_agg, atol=1e-3)
    torch.nn.init.zeros_(predictor.mlp[-1].weight)
    torch.nn.init.zeros_(predictor.mlp[-1].bias)
    assert torch.equal(predictor(z_agg), z_agg)


def test_only_the_published_projection_stays_in_the_positive_orthant() -> None:
    z = torch.randn(64, WIDTH)
    ours, published = Projection(WIDTH, 6)(z), Projection(WIDTH, 6, "relu_end")(z)
    assert ours.shape == published.shape == (64, 6)
    assert float(published.detach().min()) == 0.0
    assert bool((ours < 0).any(dim=0).all())
    assert isinstance(Projection(WIDTH, 6)[-1], torch.nn.Linear)


def test_wrong_names_and_shapes_raise_errors() -> None:
    with pytest.raises(UserError, match=r"model\.context=max: one of mean, last"):
        make("max")
    with pytest.raises(UserError, match=r"model\.projection_form=tanh"):
        Projection(WIDTH, 6, "tanh")
    with pytest.raises(UserError, match=r"model\.heads=3"):
        ContextAggregator("attention", WIDTH, PLACES, 3)
    z, present, roles, pairs = make_context()
    with pytest.raises(ValueError, match="expected z"):
        make("mean")(z[:, :3], present[:, :3], roles, pairs)
