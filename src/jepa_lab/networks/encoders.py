"""Image encoders: (n, C, H, W) float images -> (n, d) features. Every encoder has its width d as
`.dim`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jepa_lab.errors import UserError
from jepa_lab.networks.vision_transformer import VisionTransformer

VITS = ("vit_tiny", "vit_small")
LEAST_SIZE = 4  # pixels on a side; images of 1x1 have no rotated or shifted views


class ResNet18(nn.Module):
    """torchvision's ResNet-18 without its classifier: 512 globally averaged features (He et al.
    2016).

    stem "cifar" is a 3x3 stride-1 convolution without max-pooling, for images of about 32 pixels
    (11,168,832 parameters for 3 channels). stem "imagenet" is the original 7x7 stride-2 convolution
    with max-pooling (11,176,512 parameters). The last batch-norm gain of every block starts at 0.
    """

    dim = 512

    def __init__(self, in_channels: int = 3, stem: str = "cifar") -> None:
        from torchvision.models.resnet import resnet18  # takes more than a second

        super().__init__()
        net = resnet18(weights=None, zero_init_residual=True)
        net.fc = nn.Identity()
        if stem == "cifar":
            net.conv1 = nn.Conv2d(in_channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
            net.maxpool = nn.Identity()
        elif in_channels != 3:
            net.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch-norm beside a shortcut (He et al. 2016): torchvision's
    BasicBlock, to the bit and with the same names of parameters, without the import of
    torchvision."""

    def __init__(self, in_channels: int, channels: int, stride: int, downsample: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        return self.relu(out)


class ResNetSmall(nn.Module):
    """A residual network for images of 8 to 32 pixels, small enough for two CPU cores.

    It has one block per width, and each halves the resolution. widths (32, 64, 128) gives 128
    features. The first width is also the width of the stem.
    """

    def __init__(self, in_channels: int = 1, widths: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        previous = widths[0]
        for width in widths:
            shortcut = nn.Sequential(
                nn.Conv2d(previous, width, 1, stride=2, bias=False), nn.BatchNorm2d(width)
            )
            blocks.append(ResidualBlock(previous, width, stride=2, downsample=shortcut))
            previous = width
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(*blocks)
        self.dim = previous
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, ResidualBlock):
                nn.init.zeros_(module.bn2.weight)

    def forward(self, images: Tensor) -> Tensor:
        return self.blocks(self.stem(images)).mean(dim=(2, 3))


class Pixels(nn.Module):
    """A baseline that learns nothing: the flattened image, C * H * W features."""

    def __init__(self, in_channels: int, image_size: int) -> None:
        super().__init__()
        self.dim = in_channels * image_size**2

    def forward(self, images: Tensor) -> Tensor:
        return torch.flatten(images, start_dim=1)


def channels_last_is_safe(encoder: nn.Module) -> bool:
    """Whether the encoder may run in channels-last order on a CPU.

    False if a 1x1 convolution of stride 2 reads 2 to 7 channels: there the gradient kernel of torch
    2.14 writes beyond its memory and the process aborts.
    """
    convolutions = (m for m in encoder.modules() if isinstance(m, nn.Conv2d))
    return not any(
        c.kernel_size == (1, 1) and c.stride == (2, 2) and 2 <= c.in_channels < 8
        for c in convolutions
    )


def build_encoder(
    name: str, *, in_channels: int, image_size: int, widths: Sequence[int] = (), **options: Any
) -> nn.Module:
    """Returns the encoder of that name. `options` are those of a vision transformer. Raises
    UserError for an unknown name, and for images in which a view can hardly differ from another."""
    builders: dict[str, Callable[[], nn.Module]] = {
        "resnet18_cifar": lambda: ResNet18(in_channels, "cifar"),
        "resnet18_imagenet": lambda: ResNet18(in_channels, "imagenet"),
        "resnet_small": lambda: ResNetSmall(in_channels, widths or (32, 64, 128)),
        "pixels": lambda: Pixels(in_channels, image_size),
        **{x: lambda: VisionTransformer(in_channels, image_size, **options) for x in VITS},
    }
    if name not in builders:
        raise UserError(f"encoder.name={name}: no such encoder; one of {', '.join(builders)}")
    if image_size < LEAST_SIZE:
        raise UserError(
            f"encoder={name}: takes views of {LEAST_SIZE}x{LEAST_SIZE} pixels or larger ones, and"
            f" these are {image_size}x{image_size}"
        )
    return builders[name]()
