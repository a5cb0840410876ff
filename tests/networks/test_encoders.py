import pytest
import torch

from jepa_lab.errors import UserError
from jepa_lab.networks.encoders import ResidualBlock, build_encoder, channels_last_is_safe


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "parameters"), [("resnet18_cifar", 11_168_832), ("resnet18_imagenet", 11_176_512)]
)
def test_resnet18_has_the_published_number_of_parameters(name: str, parameters: int) -> None:
    assert count(build_encoder(name, in_channels=3, image_size=32)) == parameters


@pytest.mark.parametrize("name", ["resnet18_cifar", "resnet18_imagenet", "resnet_small", "pixels"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_encoder_returns_dim_features_for_grey_and_colour_images(
    name: str, channels: int
) -> None:
    encoder = build_encoder(name, in_channels=channels, image_size=16).eval()
    assert encoder(torch.randn(2, channels, 16, 16)).shape == (2, encoder.dim)


def test_residual_branches_start_with_a_gain_of_0() -> None:
    for name in ("resnet18_cifar", "resnet_small"):
        gains = [
            m.bn2.weight
            for m in build_encoder(name, in_channels=3, image_size=16).modules()
            if hasattr(m, "bn2")
        ]
        assert gains
        assert all(torch.all(g == 0) for g in gains)


def test_a_residual_block_is_torchvisions_basic_block_to_the_bit() -> None:
    from torchvision.models.resnet import BasicBlock

    outputs = []
    for kind in (ResidualBlock, BasicBlock):
        torch.manual_seed(3)
        shortcut = torch.nn.Conv2d(4, 6, 1, stride=2)
        block = kind(4, 6, stride=2, downsample=shortcut)
        images = torch.randn(5, 4, 9, 9, requires_grad=True)
        out = block(images)
        out.square().sum().backward()
        outputs.append((block.state_dict(), out, images.grad, [p.grad for p in block.parameters()]))
    (states, *ours), (expected, *theirs) = outputs
    assert list(states) == list(expected)
    assert all(torch.equal(states[name], value) for name, value in expected.items())
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
    assert all(map(torch.equal, ours[2], theirs[2]))


def test_pixels_returns_the_image() -> None:
    image = torch.randn(3, 2, 4, 4)
    assert torch.equal(
        build_encoder("pixels", in_channels=2, image_size=4)(image), image.view(3, -1)
    )


def test_an_unknown_encoder_raises_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"resnet19.*resnet18_cifar"):
        build_encoder("resnet19", in_channels=3, image_size=32)


@pytest.mark.parametrize(
    ("widths", "safe"),
    [((8, 16), True), ((32, 64, 128), True), ((4, 8), False), ((8, 4, 8), False)],
)
def test_channels_last_is_unsafe_for_narrow_residual_networks(
    widths: tuple[int, ...], safe: bool
) -> None:
    assert (
        channels_last_is_safe(
            build_encoder("resnet_small", in_channels=1, image_size=16, widths=widths)
        )
        is safe
    )
