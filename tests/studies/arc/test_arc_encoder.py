"""The token encoder: attention, padding and grids without a token."""

import pytest
import torch

from jepa_lab.errors import UserError
from jepa_lab.networks.masked_block import allowed_pairs
from jepa_lab.studies.arc.data.batch import NO_COLOR, GridTokens
from jepa_lab.studies.arc.encoder import TokenEncoder, grid_vectors


def make_tokens(
    n: int = 3, places: int = 6, colors: int = 2, features: int = 5, live: int = 4
) -> GridTokens:
    """Returns grids whose first `live` places hold a token. Token i touches i - 1 and i + 1."""
    mask = (torch.arange(places) < live).expand(n, places).clone()
    order = torch.arange(places)
    chain = (order[:, None] - order).abs() == 1
    return GridTokens(
        torch.randint(0, 10, (n, places, colors)).masked_fill(~mask[..., None], NO_COLOR),
        torch.rand(n, places, features) * mask[..., None],
        mask,
        chain & mask[:, :, None] & mask[:, None, :],
    )


def make_encoder(depth: int = 1, **options: object) -> TokenEncoder:
    return TokenEncoder(5, 2, 16, depth, 4, **options).eval()  # type: ignore[arg-type]


def influence(encoder: TokenEncoder, tokens: GridTokens, place: int) -> list[int]:
    """Returns the places whose output changes with the features at `place`."""
    before = encoder(tokens)
    changed = GridTokens(tokens.colors, tokens.features.clone(), tokens.mask, tokens.adjacency)
    changed.features[:, place] += 1.0
    moved = (encoder(changed) - before).abs().amax(dim=(0, 2)) > 1e-6
    return moved.nonzero()[:, 0].tolist()


def test_each_block_widens_the_receptive_field_by_one_neighbour() -> None:
    tokens = make_tokens(places=8, live=7)
    assert influence(make_encoder(depth=1), tokens, 3) == [2, 3, 4]
    assert influence(make_encoder(depth=2), tokens, 3) == [1, 2, 3, 4, 5]
    assert influence(make_encoder(depth=1, attention="full"), tokens, 3) == list(range(7))
    assert influence(make_encoder(depth=1, attention="full"), tokens, 7) == []  # no token there


def test_tokens_attend_to_neighbours_and_empty_places_to_themselves() -> None:
    live = torch.tensor([[True, True, False]])
    touch = torch.tensor([[[False, False, True], [False, False, True], [True, True, False]]])
    assert torch.equal(allowed_pairs(live, touch)[0, 0], torch.eye(3, dtype=torch.bool))
    assert allowed_pairs(live)[0, 0].tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]


@pytest.mark.parametrize("attention", ["adjacency", "full"])
@pytest.mark.parametrize("final_norm", [True, False])
def test_masked_places_are_exactly_zero_and_have_no_influence(
    attention: str, final_norm: bool
) -> None:
    tokens = make_tokens()
    encoder = make_encoder(depth=2, attention=attention, final_norm=final_norm)
    z = encoder(tokens)
    assert not z[:, 4:].any()
    assert z[:, :4].abs().amin(dim=2).gt(0).any()
    tokens.features[:, 4:] = torch.nan
    tokens.colors[:, 4:] = 3
    tokens.adjacency[:, 4:] = True
    tokens.adjacency[:, :, 4:] = True
    assert torch.equal(encoder(tokens), z)


def test_a_grid_without_a_token_gives_zeros_and_finite_gradients() -> None:
    tokens = make_tokens()
    tokens.mask[1] = False
    encoder = make_encoder(depth=2)
    z = encoder(tokens)
    grids = grid_vectors(z, tokens.mask)
    grids.square().sum().backward()
    assert not z[1].any()
    assert not grids[1].any()
    assert grids[0].any()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def test_the_order_of_tokens_has_no_influence() -> None:
    tokens, order = make_tokens(live=6), torch.randperm(6)
    shuffled = GridTokens(
        tokens.colors[:, order],
        tokens.features[:, order],
        tokens.mask,
        tokens.adjacency[:, order][:, :, order],
    )
    encoder = make_encoder(depth=2)
    assert torch.allclose(encoder(shuffled), encoder(tokens)[:, order], atol=1e-5)


def test_each_position_of_a_colour_has_its_own_embedding() -> None:
    tokens = make_tokens(n=1, places=1, live=1)
    encoder = make_encoder(depth=0)
    outputs = []
    for pair in ([1, 2], [2, 1], [1, 1], [2, 4], [NO_COLOR, 2]):
        tokens.colors[0, 0] = torch.tensor(pair)
        outputs.append(encoder(tokens)[0, 0])
    distances = torch.cdist(torch.stack(outputs), torch.stack(outputs)) + torch.eye(5)
    assert float(distances.detach().min()) > 0.05


def test_colours_and_features_start_with_equal_influence() -> None:
    encoder = TokenEncoder(64, 9, 512, 0, 4)
    assert float(encoder.read.weight.detach()[:, :64].square().sum(1).mean()) == pytest.approx(
        1, abs=0.1
    )
    # 1 of 11 is on
    assert float(encoder.read.weight.detach()[:, 64:].square().sum(1).mean()) == pytest.approx(
        11, abs=0.5
    )


def test_without_colours_only_the_features_count() -> None:
    tokens = make_tokens()
    encoder = TokenEncoder(5, 0, 16, 1, 4).eval()
    z = encoder(tokens)
    tokens.colors[:] = 7
    assert torch.equal(encoder(tokens), z)


def test_only_the_final_norm_bounds_the_scale() -> None:
    tokens = make_tokens()
    tokens.features *= 1e3
    bounded = make_encoder(depth=1)(tokens)[:, :4].norm(dim=-1)
    assert torch.allclose(bounded, torch.full_like(bounded, 4.0), atol=1e-2)  # sqrt(16)
    assert (
        float(make_encoder(depth=1, final_norm=False)(tokens)[:, :4].detach().norm(dim=-1).min())
        > 40
    )


def test_attention_equals_an_explicit_masked_softmax() -> None:
    encoder, tokens = make_encoder(depth=1), make_tokens(n=1)
    block = encoder.blocks[0]
    x = torch.randn(1, 6, 16)
    allowed = tokens.adjacency[0] | torch.eye(6, dtype=torch.bool)
    q, k, v = block.qkv(x)[0].split(16, dim=-1)
    heads = []
    for h in range(4):
        part = slice(4 * h, 4 * h + 4)
        scores = (q[:, part] @ k[:, part].T / 4**0.5).masked_fill(~allowed, -torch.inf)
        heads.append(scores.softmax(-1) @ v[:, part])
    expected = block.out(torch.cat(heads, dim=-1))
    assert torch.allclose(block._attend(x, allowed[None, None])[0], expected, atol=1e-6)


def test_dropout_is_active_in_training_only() -> None:
    encoder, tokens = make_encoder(depth=1, dropout=0.5), make_tokens()
    assert torch.equal(encoder(tokens), encoder(tokens))
    encoder.train()
    assert not torch.equal(encoder(tokens), encoder(tokens))


def test_grid_vectors_are_the_mean_over_tokens() -> None:
    z = torch.randn(2, 5, 3)
    mask = torch.tensor([[True, False, True, False, False], [False] * 5])
    vectors = grid_vectors(z, mask)
    assert torch.allclose(vectors[0], (z[0, 0] + z[0, 2]) / 2)
    assert not vectors[1].any()


def test_wrong_sizes_and_names_raise_errors() -> None:
    with pytest.raises(UserError, match=r"model\.heads=5"):
        TokenEncoder(5, 2, 16, 1, 5)
    with pytest.raises(UserError, match=r"model\.attention=dense"):
        make_encoder(attention="dense")
    with pytest.raises(ValueError, match="2 colours, got 5 and 3"):
        make_encoder()(make_tokens(colors=3))
    with pytest.raises(ValueError, match="neither"):
        TokenEncoder(0, 0, 16, 1, 4)
