import math
from typing import Any

import pytest
import torch
import torchvision.transforms.functional as TF
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms import InterpolationMode

from jepa_lab.data.views.build import Affine, make_view_group
from jepa_lab.errors import UserError

MEAN, STD = (0.3,), (0.2,)


def affine(**options: Any) -> Affine:
    group = make_view_group("affine", **{"n_views": 4, "mean": MEAN, "std": STD, **options})
    assert isinstance(group, Affine)
    return group


def pictures(n: int = 8, h: int = 28, w: int = 28) -> torch.Tensor:
    return torch.randint(0, 256, (n, 1, h, w), dtype=torch.uint8)


def in_pixels(views: torch.Tensor) -> torch.Tensor:
    """Undoes the normalisation of views, to [0, 1]."""
    return views * STD[0] + MEAN[0]


def torchvision_views(images: torch.Tensor, params: torch.Tensor, mode: str) -> torch.Tensor:
    def one(image: torch.Tensor, theta: float, tx: float, ty: float, scale: float) -> torch.Tensor:
        return TF.affine(
            image / 255, theta, [int(tx), int(ty)], scale, [0.0, 0.0], InterpolationMode(mode)
        )

    return torch.stack(
        [
            torch.stack([one(x, *p) for p in rows.tolist()])
            for x, rows in zip(images, params, strict=True)
        ]
    )


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize(("h", "w"), [(28, 28), (32, 20)])
def test_pixels_equal_torchvisions_affine(mode: str, h: int, w: int) -> None:
    group, images = (
        affine(interpolation=mode, rotation=(-180, 180), scale=(0.5, 1.5)),
        pictures(8, h, w),
    )
    params = group.draw(torch.arange(8), seed=0, split="train", epoch=0)
    error = (
        in_pixels(group.render(images, params)) - torchvision_views(images, params, mode)
    ).abs()
    if mode == "bilinear":
        assert float(error.max()) < 1 / 255
    else:
        # a coordinate within 1e-6 of a tie may round the other way
        assert int((error > 1e-5).sum()) <= 2


def test_theta_turns_clockwise_tx_moves_right_and_ty_moves_down() -> None:
    image = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    image[0, 0, 4, 6] = 255  # two pixels right of the centre
    params = torch.tensor([[[90.0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 2, 1], [0, 0, 0, 2]]])
    views = in_pixels(affine(interpolation="nearest").render(image, params))[0, :, 0].round()
    assert [tuple(v.nonzero()[0].tolist()) for v in views[:3]] == [(6, 4), (4, 7), (6, 6)]
    assert float(views[3, 4, 8]) == 1.0


def test_rotation_and_scale_come_before_the_translation() -> None:
    image = torch.zeros(1, 1, 11, 11, dtype=torch.uint8)
    image[0, 0, 5, 7] = 255
    views = in_pixels(
        affine(interpolation="nearest").render(image, torch.tensor([[[90.0, 3, 0, 1]]]))
    )
    assert views[0, 0, 0].round().nonzero().tolist() == [[7, 8]]


@pytest.mark.parametrize("padding", ["zeros", "reflection", "border"])
def test_a_view_with_identity_parameters_is_the_image_bit_for_bit(padding: str) -> None:
    images, same = pictures(), torch.tensor([0.0, 0, 0, 1])
    params = affine().draw(torch.arange(8), seed=0, split="train", epoch=0)
    params[3, 2] = same
    views = affine(padding=padding).render(images, params)
    plain = affine(padding=padding).render(images, same.expand(8, 1, 4))[:, 0]
    assert torch.equal(views[:, 0], plain)
    assert torch.equal(views[3, 2], plain[3])
    torch.testing.assert_close(in_pixels(plain), images / 255, rtol=0, atol=1e-6)


def test_zero_padding_is_black_and_not_the_mean() -> None:
    views = affine().render(
        torch.full((1, 1, 8, 8), 255, dtype=torch.uint8), torch.tensor([[[0.0, 4, 0, 1]]])
    )
    torch.testing.assert_close(views[0, 0, 0, :, 0], torch.full((8,), (0 - MEAN[0]) / STD[0]))
    torch.testing.assert_close(views[0, 0, 0, :, 7], torch.full((8,), (1 - MEAN[0]) / STD[0]))


@pytest.mark.parametrize("padding", ["reflection", "border"])
def test_other_paddings_continue_the_image_as_grid_sample_does(padding: str) -> None:
    images = pictures(1)
    views = in_pixels(affine(padding=padding).render(images, torch.tensor([[[20.0, 5, -3, 0.6]]])))
    cos, sin = math.cos(math.radians(20)) / 0.6, math.sin(math.radians(20)) / 0.6
    x, y = -(cos * 5 + sin * -3) / 14, -(-sin * 5 + cos * -3) / 14
    grid = affine_grid(
        torch.tensor([[[cos, sin, x], [-sin, cos, y]]]), [1, 1, 28, 28], align_corners=False
    )
    expected = grid_sample(images / 255, grid, "bilinear", padding, align_corners=False)
    torch.testing.assert_close(views[0], expected, rtol=0, atol=1e-4)


def test_actions_are_the_published_code_of_the_parameters_and_their_differences() -> None:
    group = affine(translation=(-4, 7))
    a, b = torch.tensor([100.0, -7, 2, 0.5]), torch.tensor([-120.0, 7, 0, 1.0])
    radians = math.radians(100)
    expected = [math.sin(radians), math.cos(radians), -1, 2 / 7, math.log(0.5)]
    torch.testing.assert_close(group.absolute(a), torch.tensor(expected))
    wrapped = math.radians(140)  # -220 degrees
    torch.testing.assert_close(
        group.relative(a, b),
        torch.tensor([math.sin(wrapped), math.cos(wrapped), 2, -2 / 7, math.log(2)]),
    )
    slices = {
        "rot": slice(0, 2),
        "trans_x": slice(2, 3),
        "trans_y": slice(3, 4),
        "scale": slice(4, 5),
    }
    assert group.action_slices == slices


def test_a_range_without_translation_is_divided_by_one() -> None:
    group = affine(translation=(0, 0))
    assert torch.equal(
        group.absolute(torch.tensor([0.0, 0, 0, 1])), torch.tensor([0.0, 1, 0, 0, 0])
    )


def test_actions_compose_and_invert() -> None:
    group = affine(first_view="random", rotation=(-180, 180))
    a, b, c, _ = group.draw(torch.arange(200), seed=0, split="train", epoch=0).unbind(1)
    torch.testing.assert_close(
        group.compose(group.relative(a, b), group.relative(b, c)), group.relative(a, c)
    )
    torch.testing.assert_close(group.inverse(group.relative(a, b)), group.relative(b, a))
    torch.testing.assert_close(
        group.compose(group.relative(a, b), group.relative(b, a)), group.relative(a, a)
    )


def test_parameters_fill_their_ranges_and_translations_are_whole_and_equally_likely() -> None:
    params = affine().draw(torch.arange(15_000), seed=0, split="train", epoch=0)[:, 1]
    assert params.min(0).values.tolist() == pytest.approx([-75, -7, -7, 0.5], rel=1e-2)
    assert params.max(0).values.tolist() == pytest.approx([75, 7, 7, 1.0], rel=1e-2)
    counts = torch.bincount(params[:, 1].long() + 7, minlength=15)
    assert (counts - 1000).abs().max() < 4 * (1000 * 14 / 15) ** 0.5
    assert float(params[:, 3].median()) == pytest.approx(math.sqrt(0.5), abs=0.01)


def test_the_uniform_law_of_scale_has_its_median_in_the_middle() -> None:
    params = affine(scale_law="uniform", scale=(0.5, 1.5)).draw(
        torch.arange(9_000), seed=0, split="train", epoch=0
    )
    assert float(params[:, 1, 3].median()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("mode", "varying"),
    [("rot_only", [0]), ("trans_only", [1, 2]), ("scale_only", [3]), ("multi", [0, 1, 2, 3])],
)
def test_a_mode_varies_only_its_factors_with_the_draws_of_multi(
    mode: str, varying: list[int]
) -> None:
    index = torch.arange(50)
    params = affine(mode=mode).draw(index, seed=0, split="train", epoch=0)
    multi = affine().draw(index, seed=0, split="train", epoch=0)
    identity = torch.tensor([0.0, 0, 0, 1])
    for p in range(4):
        expected = multi[..., p] if p in varying else identity[p].expand(50, 4)
        assert torch.equal(params[..., p], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "shear"}, "dataset.mode=shear"),
        ({"rotation": (30, -30)}, "low <= high"),
        ({"rotation": 30}, "two numbers"),
        ({"translation": (-1.5, 2)}, "whole pixels"),
        ({"scale": (0.0, 1.0)}, "low above 0"),
        ({"scale_law": "normal"}, "log_uniform, uniform"),
        ({"interpolation": "bicubic"}, "bilinear, nearest"),
        ({"padding": "constant"}, "zeros, reflection, border"),
    ],
)
def test_a_wrong_option_is_a_user_error_that_names_it(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        affine(**options)
    assert f"dataset.{next(iter(options))}" in str(error.value)
    assert "\n" not in str(error.value)


def matrix(theta: float, tx: float, ty: float, scale: float) -> torch.Tensor:
    """Returns the matrix of p -> s R p + t with y pointing down, as documented in the class."""
    t = math.radians(theta)
    c, s = scale * math.cos(t), scale * math.sin(t)
    return torch.tensor([[c, -s, tx], [s, c, ty], [0.0, 0.0, 1.0]], dtype=torch.float64)


def matrix_of_action(group: Affine, action: torch.Tensor) -> torch.Tensor:
    theta = math.degrees(math.atan2(float(action[0]), float(action[1])))
    tx, ty = (float(x) * group.translation_unit for x in action[2:4])
    return matrix(theta, tx, ty, math.exp(float(action[4])))


def test_as_group_elements_actions_are_products_of_transformations() -> None:
    group = affine(relative_action="group", rotation=(-180, 180), scale=(0.5, 1.5))
    params = group.draw(
        torch.arange(20), seed=0, split="train", epoch=0, first_view="random"
    ).double()
    a, b, c = params[:, 0], params[:, 1], params[:, 2]
    ab, bc = group.relative(a, b), group.relative(b, c)
    back, both = group.inverse(ab), group.compose(ab, bc)
    for i in range(20):
        m_a, m_b, m_c = (matrix(*p[i].tolist()) for p in (a, b, c))
        assert torch.allclose(matrix_of_action(group, ab[i]), m_b @ m_a.inverse(), atol=1e-5)
        assert torch.allclose(matrix_of_action(group, back[i]), m_a @ m_b.inverse(), atol=1e-5)
        assert torch.allclose(matrix_of_action(group, both[i]), m_c @ m_a.inverse(), atol=1e-5)
    assert torch.allclose(back, group.relative(b, a), atol=1e-5)


def test_the_matrices_agree_with_the_rendered_pixels() -> None:
    """A dot under T_a, moved by the group's action, is the dot under T_b."""
    group = affine(relative_action="group", interpolation="nearest")
    a, b = torch.tensor([90.0, 2, 0, 1]), torch.tensor([180.0, 0, 3, 1])
    image = torch.zeros(1, 1, 15, 15, dtype=torch.uint8)
    image[0, 0, 7, 10] = 255
    at = [
        torch.tensor(
            [float(v.nonzero()[0][1]) - 7, float(v.nonzero()[0][0]) - 7, 1.0], dtype=torch.float64
        )
        for v in in_pixels(group.render(image, torch.stack([a, b])[None]))[0, :, 0].round()
    ]
    moved = matrix_of_action(group, group.relative(a, b)) @ at[0]
    assert torch.allclose(moved, at[1], atol=1e-4)
    published = affine()
    assert not torch.allclose(
        matrix_of_action(published, published.relative(a, b)) @ at[0], at[1], atol=0.5
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("first_view", ["reference", "random"])
def test_views_equal_the_longhand_sampling_of_one_image_bit_for_bit(
    first_view: str, interpolation: str
) -> None:
    group = affine(first_view=first_view, interpolation=interpolation)
    images = pictures(200, 28, 20)  # several chunks, the last one short
    params = group.draw(torch.arange(200), seed=0, split="train", epoch=0)
    params[7, 2] = torch.tensor([0.0, 0, 0, 1])
    views = group.render(images, params)
    scale = torch.tensor(1 / (255 * STD[0]), dtype=torch.float64).float()
    shift = torch.tensor(-MEAN[0] / STD[0], dtype=torch.float64).float()
    x, y = torch.arange(20.0) - 9.5, (torch.arange(28.0) - 13.5)[:, None]
    for i in (0, 7, 150, 199):
        for v in range(4):
            theta, tx, ty, s = params[i, v].double()
            cos, sin = theta.deg2rad().cos() / s, theta.deg2rad().sin() / s
            across = (cos * 0.1).float() * x, (-sin * (2 / 28)).float() * x
            down = (sin * 0.1).float() * y, (cos * (2 / 28)).float() * y
            move = (
                (-(cos * tx + sin * ty) * 0.1).float(),
                ((sin * tx - cos * ty) * (2 / 28)).float(),
            )
            grid = torch.stack(
                [a + (d + m) for a, d, m in zip(across, down, move, strict=True)], dim=-1
            )
            source = images[i : i + 1] * scale
            expected = grid_sample(source, grid[None], interpolation, align_corners=False)
            if params[i, v].tolist() == [0.0, 0, 0, 1]:
                expected = source
            assert torch.equal(views[i, v], expected[0] + shift), (i, v)


def test_a_factor_that_does_not_vary_has_no_sweep() -> None:
    group = make_view_group(
        "affine",
        n_views=2,
        mean=(0.5,),
        std=(0.5,),
        rotation=(0, 0),
        translation=(0, 0),
        scale=(0.5, 1.0),
    )
    assert [sweep.factor for sweep in group.sweeps()] == ["scale"]
