import itertools
from typing import Any

import pytest
import torch
import torchvision.transforms.functional as TF

from jepa_lab.data.views.build import Rotation, make_view_group
from jepa_lab.errors import UserError

MEAN, STD = (0.1, 0.5, 0.9), (0.2, 0.25, 0.5)
CODES = ["sincos", "one_hot"]


def rotation(**options: Any) -> Rotation:
    group = make_view_group("rotation", **{"n_views": 4, "mean": MEAN, "std": STD, **options})
    assert isinstance(group, Rotation)
    return group


def pictures(n: int = 6, size: int = 9) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8)


def all_turns() -> torch.Tensor:
    return torch.arange(4.0)[:, None]


def test_views_are_the_exact_counter_clockwise_rotations_of_torch_and_torchvision() -> None:
    images = pictures()
    views = rotation().render(images, all_turns().expand(6, 4, 1))
    for b, turns in itertools.product(range(6), range(4)):
        turned = torch.rot90(images[b], turns, (1, 2))
        assert torch.equal(turned, TF.pil_to_tensor(TF.to_pil_image(images[b]).rotate(90 * turns)))
        expected = TF.normalize(turned / 255, MEAN, STD)
        torch.testing.assert_close(views[b, turns], expected, rtol=0, atol=2e-6)


def test_pixels_are_only_moved_so_every_view_holds_the_same_values() -> None:
    group, images = rotation(first_view="random"), pictures()
    views = group.render(images, group.draw(torch.arange(6), seed=0, split="train", epoch=0))
    assert torch.equal(
        views.flatten(3).sort().values, views[:, :1].flatten(3).sort().values.expand(6, 4, 3, 81)
    )


def test_angles_are_uniform_and_the_first_view_is_upright_unless_random() -> None:
    index = torch.arange(10_000)
    upright = rotation().draw(index, seed=0, split="train", epoch=0)
    random = rotation(first_view="random").draw(index, seed=0, split="train", epoch=0)
    assert upright[:, 0].eq(0).all()
    assert torch.equal(upright[:, 1:], random[:, 1:])
    for v in range(4):
        counts = torch.bincount(random[:, v, 0].long(), minlength=4)
        assert (counts - 2500).abs().max() < 4 * (10_000 * 0.25 * 0.75) ** 0.5


def test_sincos_action_is_the_sine_and_cosine_of_the_wrapped_difference() -> None:
    group = rotation()
    action = group.relative(torch.tensor([[3.0], [0.0]]), torch.tensor([[0.0], [2.0]]))
    assert torch.equal(action, torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    radians = all_turns() * torch.pi / 2
    torch.testing.assert_close(
        group.absolute(all_turns()), torch.cat([radians.sin(), radians.cos()], 1)
    )


def test_one_hot_action_marks_the_wrapped_difference() -> None:
    group = rotation(action_code="one_hot")
    assert group.action_dim == 4
    assert torch.equal(group.absolute(all_turns()), torch.eye(4))
    assert torch.equal(group.relative(torch.tensor([3.0]), torch.tensor([0.0])), torch.eye(4)[1])


@pytest.mark.parametrize("code", CODES)
def test_actions_compose_and_invert_like_the_rotations_they_stand_for(code: str) -> None:
    group = rotation(action_code=code)
    for a, b, c in itertools.product(all_turns(), repeat=3):
        assert torch.equal(
            group.compose(group.relative(a, b), group.relative(b, c)), group.relative(a, c)
        )
        assert torch.equal(group.inverse(group.relative(a, b)), group.relative(b, a))


@pytest.mark.parametrize("code", CODES)
def test_a_relative_action_turns_one_view_into_the_other(code: str) -> None:
    group, images = rotation(action_code=code, first_view="random"), pictures()
    batch = group(images, None, torch.arange(6), seed=1, split="train", epoch=0)
    turns = group.absolute(all_turns())
    for b, v in itertools.product(range(6), range(3)):
        k = int((turns == batch.actions[b, v]).all(1).nonzero())
        assert torch.equal(torch.rot90(batch.views[b, v], k, (1, 2)), batch.views[b, v + 1])


def test_the_factor_slice_covers_the_action() -> None:
    for code in CODES:
        group = rotation(action_code=code)
        assert group.action_slices == {"rot": slice(0, group.action_dim)}


def test_oblong_images_and_other_dtypes_are_refused() -> None:
    params = torch.zeros(2, 4, 1)
    with pytest.raises(ValueError, match="square"):
        rotation().render(torch.zeros(2, 3, 8, 9, dtype=torch.uint8), params)
    with pytest.raises(ValueError, match="uint8"):
        rotation().render(torch.zeros(2, 3, 8, 8), params)
    with pytest.raises(ValueError, match="params"):
        rotation().render(pictures(2), torch.zeros(2, 4, 2))


def test_a_wrong_code_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"dataset.action_code=degrees.*sincos, one_hot"):
        rotation(action_code="degrees")
