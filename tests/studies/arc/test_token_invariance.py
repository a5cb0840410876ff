"""The invariance loss, and the published transforms of the 23 features with their defects."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from jepa_lab.studies.arc.token_invariance import (
    invariance,
    published_color,
    published_symmetry,
    published_translation,
    transform_generator,
)


def make_features(n: int = 4, places: int = 6, live: int = 4) -> tuple[Tensor, Tensor]:
    features = torch.rand(n, places, 23)
    features[..., 6] = torch.randint(0, 10, (n, places)).float()
    mask = (torch.arange(places) < live).expand(n, places)
    return features * mask[..., None], mask


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_invariance_is_the_mean_square_with_gradients_on_both_sides() -> None:
    a, b = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    loss = invariance(a, b)
    assert float(loss.detach()) == pytest.approx(
        sum(float(x) ** 2 for x in (a - b).detach().flatten()) / 12, rel=1e-5
    )
    loss.backward()
    assert a.grad is not None
    assert torch.allclose(a.grad, 2 * (a - b).detach() / 12)
    assert torch.equal(a.grad, -b.grad)
    assert float(invariance(a, a).detach()) == 0.0
    with pytest.raises(ValueError, match="one shape"):
        invariance(a, b[:2])


def test_invariance_is_in_float32_also_within_autocast() -> None:
    a, b = torch.randn(3, 4).bfloat16(), torch.randn(3, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = invariance(a, b)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, invariance(a.float(), b.float()))


def test_color_permutes_colours_and_histogram_independently() -> None:
    features, mask = make_features(40)
    out = published_color(features, mask, draw())
    before, after = features[mask], out[mask]
    palette = {int(b): int(a) for b, a in zip(before[:, 6], after[:, 6], strict=True)}
    assert sorted(palette) == sorted(palette.values()) == list(range(10))
    assert all(palette[int(b)] == int(a) for b, a in zip(before[:, 6], after[:, 6], strict=True))
    places = [int((before[:, 13:] == after[:, 13 + k, None]).all(0).nonzero()) for k in range(10)]
    assert sorted(places) == list(range(10))
    assert places != list(range(10))
    assert any(palette[places[k]] != k for k in range(10))
    rest = [*range(6), *range(7, 13)]
    assert torch.equal(before[:, rest], after[:, rest])


def test_translation_moves_every_object_independently_within_the_limit() -> None:
    features, mask = make_features()
    features[..., 7:13] = 0.5 * mask[..., None]
    out = published_translation(features, mask, draw(), max_delta=0.2)
    moved = (out - features)[mask]
    # an object keeps its height
    assert torch.allclose(moved[:, [7, 7]], moved[:, [9, 11]], atol=1e-6)
    assert torch.allclose(moved[:, [8, 8]], moved[:, [10, 12]], atol=1e-6)
    assert 0.1 < float(moved.abs().max()) <= 0.2
    # the defect: the grid's objects do not move together
    assert len(moved[:, 7].unique()) == len(moved)
    assert not torch.allclose(moved[:, 7], moved[:, 8])
    others = [*range(7), *range(13, 23)]
    assert not moved[:, others].any()
    far = published_translation(make_features()[0], mask, draw(1), max_delta=1.0)
    assert 0.0 <= float(far[..., 7:13].min()) <= float(far[..., 7:13].max()) == 1.0


def test_symmetry_is_an_involution_that_is_off_by_one_cell() -> None:
    features, mask = make_features()
    features[0, 0, [8, 10, 12]] = torch.tensor([0.2, 0.1, 0.4])
    out = published_symmetry(features, mask, draw(), modes=("horizontal",))
    assert out[0, 0, [8, 10, 12]].tolist() == pytest.approx([0.8, 0.6, 0.9])
    untouched = [*range(8), 9, 11, *range(13, 23)]
    assert torch.equal(out[..., untouched], features[..., untouched])
    assert torch.allclose(
        published_symmetry(out, mask, draw(), modes=("horizontal",)), features, atol=1e-6
    )


def test_both_flips_are_drawn_and_unknown_names_are_vertical() -> None:
    features, mask = make_features()
    vertical = published_symmetry(features, mask, draw(), modes=("v",))
    assert torch.equal(vertical, published_symmetry(features, mask, draw(5), modes=("vertical",)))
    assert torch.allclose(vertical[..., 7][mask], 1 - features[..., 7][mask])
    assert torch.equal(vertical[..., 8], features[..., 8])
    flipped_x = [
        not torch.equal(published_symmetry(features, mask, draw(s))[..., 8], features[..., 8])
        for s in range(20)
    ]
    assert 3 < sum(flipped_x) < 17
    with pytest.raises(ValueError, match="at least one"):
        published_symmetry(features, mask, draw(), modes=())


@pytest.mark.parametrize("transform", [published_color, published_translation, published_symmetry])
def test_places_without_a_token_stay_zero_and_the_input_is_unchanged(
    transform: Callable[..., Tensor],
) -> None:
    features, mask = make_features()
    before = features.clone()
    out = transform(features, mask, draw())
    assert not out[~mask].any()
    assert not torch.equal(out, features)
    assert torch.equal(features, before)
    with pytest.raises(ValueError, match="23"):
        transform(features[..., :22], mask, draw())


def test_a_transform_is_a_function_of_seed_step_family_and_branch() -> None:
    keys = [(0, 1, "color", "context"), (1, 1, "color", "context"), (0, 2, "color", "context")]
    keys += [(0, 1, "translation", "context"), (0, 1, "color", "target")]
    numbers = [tuple(torch.rand(3, generator=transform_generator(*k)).tolist()) for k in keys]
    assert len(set(numbers)) == len(keys)
    assert numbers[0] == tuple(torch.rand(3, generator=transform_generator(*keys[0])).tolist())


def test_a_delta_beyond_the_grid_is_rejected() -> None:
    with pytest.raises(ValueError, match="max_delta"):
        published_translation(*make_features(), draw(), max_delta=1.5)
