from typing import Any

import pytest
import torch
import torchvision.transforms.v2.functional as TF
from torchvision.transforms import InterpolationMode, RandomResizedCrop

from jepa_lab.data.views import augment as augment_module
from jepa_lab.data.views.augment import Augment
from jepa_lab.data.views.build import make_view_group
from jepa_lab.data.views.pixel_operations import ORDERS
from jepa_lab.errors import UserError

NAMES = (
    "top",
    "left",
    "height",
    "width",
    "mirrored",
    "brightness",
    "contrast",
    "saturation",
    "hue",
)
NAMES += ("order", "grey", "sigma", "solarised")
COLUMN = {name: i for i, name in enumerate(NAMES)}
TRAIN = {"seed": 0, "split": "train", "epoch": 0}
LEVEL = 1 / 255


def augment(size: int = 32, channels: int = 3, **options: Any) -> Augment:
    usual = {
        "n_views": 4,
        "mean": (0.0,) * channels,
        "std": (1.0,) * channels,
        "first_view": "random",
    }
    group = make_view_group("augment", **{**usual, "image_size": size, **options})
    assert isinstance(group, Augment)
    return group


def pictures(n: int = 12, channels: int = 3, size: int = 32) -> torch.Tensor:
    """Images that are smooth in one half of the batch and noise in the other, including black,
    white, grey and saturated ones."""
    coarse = torch.randint(0, 256, (n, channels, 5, 5)).float()
    images = torch.nn.functional.interpolate(coarse, size, mode="bilinear").round().to(torch.uint8)
    images[n // 2 :] = torch.randint(0, 256, (n - n // 2, channels, size, size), dtype=torch.uint8)
    images[0], images[1], images[2] = 0, 255, images[2, :1]
    images[3, 0], images[3, -1] = 255, 0
    return images


def only(group: Augment, n: int, **values: Any) -> torch.Tensor:
    """Returns the parameters (n, 1, P) of the identity with the named columns changed."""
    params = torch.tensor(group.identity).repeat(n, 1, 1)
    for name, value in values.items():
        params[:, 0, COLUMN[name]] = torch.as_tensor(value, dtype=torch.float32)
    return params


def drawn(n: int = 20_000, **options: Any) -> torch.Tensor:
    return augment(**options).draw(torch.arange(n), **TRAIN)


def assert_equal_to_torchvision(
    views: torch.Tensor, expected: list[torch.Tensor], levels: float = 2.0
) -> None:
    error = (views[:, 0] - torch.stack(expected).float() / 255).abs().amax((1, 2, 3))
    assert float(error.max()) <= levels * LEVEL + 1e-5, error / LEVEL


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (32, 1), (9, 3), (64, 3)])
def test_crops_equal_torchvisions_antialiased_bicubic_resized_crop(
    size: int, channels: int
) -> None:
    group, images = augment(size, channels), pictures(24, channels, size)
    params = group.draw(torch.arange(24), **TRAIN)[:, :1]
    crops = only(group, 24, **{name: params[:, 0, COLUMN[name]] for name in NAMES[:5]})
    expected = []
    for image, (top, left, height, width, mirrored) in zip(
        images, crops[:, 0, :5].int().tolist(), strict=True
    ):
        view = TF.resized_crop(
            image, top, left, height, width, [size, size], InterpolationMode.BICUBIC, antialias=True
        )
        expected.append(TF.horizontal_flip(view) if mirrored else view)
    assert 0 < int(crops[:, 0, 4].sum()) < 24
    assert_equal_to_torchvision(group.render(images, crops), expected)


def test_crop_weights_are_the_same_from_the_table_and_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, params = pictures(), augment().draw(torch.arange(12), **TRAIN)
    from_table = augment().render(images, params)
    monkeypatch.setattr(augment_module, "TABLE_BYTES", 0)
    assert torch.equal(augment().render(images, params), from_table)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("brightness", 0.6, 1.4),
        ("contrast", 0.6, 1.4),
        ("saturation", 0.8, 1.2),
        ("hue", -0.1, 0.1),
        ("hue", -0.5, 0.5),
    ],
)
def test_each_colour_operation_equals_torchvisions(
    name: str, low: float, high: float, channels: int
) -> None:
    group, images = augment(channels=channels), pictures(channels=channels)
    factors = torch.linspace(low, high, 12)
    views = group.render(images, only(group, 12, **{name: factors}))
    adjust = getattr(TF, f"adjust_{name}")
    assert_equal_to_torchvision(
        views, [adjust(x, f) for x, f in zip(images, factors.tolist(), strict=True)]
    )


def test_the_colour_operations_come_in_the_drawn_order() -> None:
    group, images = augment(), pictures(48)
    factors = {"brightness": 1.3, "contrast": 0.7, "saturation": 1.2, "hue": 0.08}
    views = group.render(images, only(group, 48, order=torch.arange(48) % 24, **factors))
    expected = []
    for n, image in enumerate(images):
        view = image.float() / 255
        for name in ORDERS[n % 24]:
            view = getattr(TF, f"adjust_{name}")(view, factors[name])
        expected.append(view * 255)
    assert len(set(ORDERS)) == 24
    # no rounding between the operations on either side
    assert_equal_to_torchvision(views, expected, levels=0.01)


def test_grey_equals_torchvisions_and_fills_all_channels() -> None:
    group, images = augment(), pictures()
    views = group.render(images, only(group, 12, grey=1))
    assert_equal_to_torchvision(views, [TF.rgb_to_grayscale(x, 3) for x in images])
    assert torch.equal(views[:, 0, 0], views[:, 0, 1])


@pytest.mark.parametrize(("size", "kernel"), [(12, 3), (32, 3), (64, 7)])
def test_blur_equals_torchvisions_with_the_published_kernel(size: int, kernel: int) -> None:
    group, images = augment(size), pictures(size=size)
    sigma = torch.linspace(0.1, 2.0, 12)
    views = group.render(images, only(group, 12, sigma=sigma))
    assert group.kernel == kernel
    expected = [
        TF.gaussian_blur(x, [kernel, kernel], [s, s])
        for x, s in zip(images, sigma.tolist(), strict=True)
    ]
    assert_equal_to_torchvision(views, expected)


def test_solarise_equals_torchvisions_at_128() -> None:
    group, images = (
        augment(),
        torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 2, 2),
    )
    assert_equal_to_torchvision(
        group.render(images, only(group, 1, solarised=1)), [TF.solarize(images[0], 128)], 0
    )


def test_a_whole_view_equals_torchvisions_operations_one_after_the_other() -> None:
    group, images = augment(), pictures(16)
    params = group.draw(torch.arange(16), **TRAIN)[:, -1:]
    # few targets are blurred
    params[:, 0, COLUMN["sigma"]] = torch.linspace(0, 2, 16)
    expected = []
    for image, row in zip(images, params[:, 0].tolist(), strict=True):
        p = dict(zip(NAMES, row, strict=True))
        corner = [int(p[name]) for name in NAMES[:4]]
        view = (
            TF.resized_crop(
                image, *corner, [32, 32], InterpolationMode.BICUBIC, antialias=True
            ).float()
            / 255
        )
        view = TF.horizontal_flip(view) if p["mirrored"] else view
        for name in ORDERS[int(p["order"])]:
            view = getattr(TF, f"adjust_{name}")(view, p[name])
        view = TF.rgb_to_grayscale(view, 3) if p["grey"] else view
        view = TF.gaussian_blur(view, [3, 3], [p["sigma"]] * 2) if p["sigma"] else view
        view = TF.solarize(view, 127.5 / 255) if p["solarised"] else view
        expected.append(view * 255)
    error = (group.render(images, params)[:, 0] - torch.stack(expected) / 255).abs()
    # torchvision rounds the crop, then enhances it
    assert float(error.flatten().quantile(0.999)) < 4 * LEVEL
    assert float(error.mean()) < LEVEL / 2


@pytest.mark.parametrize("channels", [1, 3])
def test_identity_leaves_an_image_as_it_is(channels: int) -> None:
    group, images = augment(channels=channels), pictures(channels=channels)
    views = group.render(images, only(group, 12, order=torch.arange(12)))
    torch.testing.assert_close(views[:, 0], images / 255, rtol=1e-6, atol=0)
    assert torch.equal((views[:, 0] * 255).round().to(torch.uint8), images)


def test_a_reference_view_is_the_image() -> None:
    images = pictures()
    batch = augment(first_view="reference")(images, None, torch.arange(12), **TRAIN)
    torch.testing.assert_close(batch.views[:, 0], images / 255, rtol=1e-6, atol=0)


def test_a_view_does_not_depend_on_the_views_beside_it() -> None:
    group, images = augment(), pictures()
    params = group.draw(torch.arange(12), **TRAIN)
    alone = [group.render(images, params[:, v : v + 1]) for v in range(4)]
    torch.testing.assert_close(torch.cat(alone, 1), group.render(images, params), rtol=0, atol=1e-5)


def test_one_channel_has_the_draws_of_three_and_its_colours_have_no_effect() -> None:
    one, three = augment(channels=1), augment()
    params = three.draw(torch.arange(12), **TRAIN)
    assert torch.equal(one.draw(torch.arange(12), **TRAIN), params)
    without = params.clone()
    for name, value in (("saturation", 1.0), ("hue", 0.0), ("grey", 0.0)):
        without[..., COLUMN[name]] = value
    images = pictures(channels=1)
    assert torch.equal(one.render(images, params), one.render(images, without))


def test_crops_lie_inside_and_are_distributed_as_torchvisions_random_resized_crop() -> None:
    top, left, height, width = drawn().flatten(0, 1)[:, :4].T
    for start, side in ((top, height), (left, width)):
        assert float(start.min()) == 0
        assert float(side.min()) >= 1
        assert float((start + side).max()) == 32
    area, ratio = height * width / 32**2, width / height
    assert 0.18 < float(area.min()) < 0.22
    assert float(area.max()) == 1
    assert float(ratio.min()) > 0.68
    assert float(ratio.max()) < 1.46
    assert abs(float(ratio.log().mean())) < 0.005
    torch.manual_seed(0)
    image = torch.zeros(3, 32, 32)
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(image, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    )
    for ours, column in ((top, 0), (left, 1), (height, 2), (width, 3)):
        reference = theirs[:, column].float()
        assert abs(float(ours.mean() - reference.mean())) < 4 * float(reference.std()) / 4000**0.5
        assert float(ours.std()) == pytest.approx(float(reference.std()), rel=0.05)


def test_colours_fill_their_ranges_in_four_of_five_views() -> None:
    params = drawn().flatten(0, 1)
    jittered = params[:, 5] != 1
    assert float(jittered.float().mean()) == pytest.approx(0.8, abs=0.01)
    for name, low, high in (
        ("brightness", 0.6, 1.4),
        ("contrast", 0.6, 1.4),
        ("saturation", 0.8, 1.2),
        ("hue", -0.1, 0.1),
    ):
        column = params[:, COLUMN[name]]
        assert float(column.min()) == pytest.approx(low, abs=1e-3)
        assert float(column.max()) == pytest.approx(high, abs=1e-3)
        assert bool((column[~jittered] == (0 if name == "hue" else 1)).all())
    counts = torch.bincount(params[:, COLUMN["order"]].long(), minlength=24)
    assert len(counts) == 24
    assert float((counts / counts.sum() * 24 - 1).abs().max()) < 0.1
    for name, rate in (("mirrored", 0.5), ("grey", 0.2)):
        assert float(params[:, COLUMN[name]].mean()) == pytest.approx(rate, abs=0.01)


def test_only_the_target_is_seldom_blurred_and_sometimes_solarised() -> None:
    params = drawn()
    sigma, solarised = params[..., COLUMN["sigma"]], params[..., COLUMN["solarised"]]
    assert bool((sigma[:, :-1] > 0).all())
    assert not bool(solarised[:, :-1].any())
    assert float((sigma[:, -1] > 0).float().mean()) == pytest.approx(0.1, abs=0.01)
    assert float(solarised[:, -1].mean()) == pytest.approx(0.2, abs=0.012)
    for blurred in (sigma[:, 0], sigma[:, -1][sigma[:, -1] > 0]):
        assert float(blurred.min()) == pytest.approx(0.1, abs=5e-3)
        assert float(blurred.max()) == pytest.approx(2.0, abs=5e-3)


def test_the_draws_of_a_view_as_target_differ_only_in_blur_and_solarise() -> None:
    short, long = (drawn(50, n_views=n)[:, 2] for n in (3, 5))
    others = [i for name, i in COLUMN.items() if name not in ("sigma", "solarised")]
    assert torch.equal(short[:, others], long[:, others])


def test_actions_are_differences_of_the_parameters_in_fixed_units() -> None:
    group = augment()
    batch = group(pictures(), None, torch.arange(12), **TRAIN)
    p = batch.params
    crop, factors, hue, sigma = p[..., :4] / 32, p[..., 5:8] - 1, p[..., 8:9], p[..., 11:12] / 2
    torch.testing.assert_close(batch.absolute, torch.cat([crop, factors, hue, sigma], -1))
    torch.testing.assert_close(batch.actions, batch.absolute[:, 1:] - batch.absolute[:, :-1])
    assert group.action_slices == {"crop": slice(0, 4), "jitter": slice(4, 8), "blur": slice(8, 9)}
    identity = group.absolute(torch.tensor(group.identity))
    assert identity.tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 0]


def test_without_a_norm_actions_are_in_pixels_factors_and_sigma() -> None:
    batch = augment(action_norm="none")(pictures(), None, torch.arange(12), **TRAIN)
    torch.testing.assert_close(batch.absolute, batch.params[..., [0, 1, 2, 3, 5, 6, 7, 8, 11]])
    torch.testing.assert_close(batch.actions, batch.absolute.diff(dim=1))


@pytest.mark.parametrize("action_norm", ["fixed", "none"])
def test_actions_compose_and_invert(action_norm: str) -> None:
    group = augment(action_norm=action_norm)
    a, b, c, _ = drawn(50).unbind(1)
    torch.testing.assert_close(
        group.compose(group.relative(a, b), group.relative(b, c)), group.relative(a, c)
    )
    torch.testing.assert_close(group.inverse(group.relative(a, b)), group.relative(b, a))


def test_the_published_norm_gives_every_column_norm_one_over_the_views() -> None:
    group = augment(action_norm="legacy_l2_views")
    batch = group(pictures(), None, torch.arange(12), **TRAIN)
    raw = augment(action_norm="none")(pictures(), None, torch.arange(12), **TRAIN).absolute
    norms = raw.square().sum(1, keepdim=True).sqrt()
    assert bool((raw[..., 0] == 0).any())
    torch.testing.assert_close(batch.absolute.square().sum(1), (norms[:, 0] > 0).float())
    torch.testing.assert_close(batch.absolute * norms, raw)
    torch.testing.assert_close(batch.actions, batch.absolute[:, 1:] - batch.absolute[:, :-1])
    back = group.reverse(batch)
    torch.testing.assert_close(back.actions, back.absolute[:, 1:] - back.absolute[:, :-1])


def test_the_target_changes_observed_actions_only_with_the_published_norm() -> None:
    params = drawn(50)
    other = params.clone()
    other[:, -1] = params.roll(1, 0)[:, -1]
    for action_norm, same in (("fixed", True), ("none", True), ("legacy_l2_views", False)):
        group = augment(action_norm=action_norm)
        assert (
            torch.equal(group.actions_of(params)[:, :-2], group.actions_of(other)[:, :-2]) is same
        )


def test_views_and_actions_are_finite_and_need_no_gradient() -> None:
    for channels in (1, 3):
        batch = augment(channels=channels)(
            pictures(channels=channels), None, torch.arange(12), **TRAIN
        )
        for value in (batch.views, batch.actions, batch.absolute):
            assert bool(value.isfinite().all())
            assert not value.requires_grad
        assert -1e-5 <= float(batch.views.min()) <= float(batch.views.max()) <= 1 + 1e-5


def test_the_images_are_not_changed() -> None:
    images = pictures()
    before = images.clone()
    augment()(images, None, torch.arange(12), **TRAIN)
    assert torch.equal(images, before)


@pytest.mark.parametrize("shape", [(2, 3, 32, 28), (2, 3, 28, 28)])
def test_images_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    group = augment()
    with pytest.raises(ValueError, match="square, 32 wide"):
        group.render(torch.zeros(shape, dtype=torch.uint8), only(group, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"action_norm": "l2"}, "fixed, legacy_l2_views, none"),
        ({"mean": (0.5,) * 4, "std": (1,) * 4}, "1 or 3 channels"),
    ],
)
def test_a_wrong_option_is_a_user_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        augment(**options)
