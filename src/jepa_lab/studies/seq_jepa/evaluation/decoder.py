"""A small convolutional decoder from latents to images, to see what a frozen encoder kept."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.data.views.view_group import ViewGroup

SMALLEST = 4  # largest side of the first feature map, in pixels
MOST_PIXELS = 64  # side of a decoded image


class ConvDecoder(nn.Module):
    """Maps latents (n, dim) to unbounded images (n, channels, size, size).

    A linear layer gives a map of at most 4 x 4. Each convolution that follows doubles the
    resolution by rearranging channels into pixels (Shi et al. 2016, arXiv:1609.05158) and halves
    the width. The last map is cut to `size`.

    Latents are scaled to length 1 and then standardised by `mean` and `std` (dim,). The prediction
    loss leaves their length free, so a decoder that used the length could not read predictions. A
    dimension without spread is left out.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, dim: int, channels: int, size: int, *, width: int = 48, narrowest: int = 12
    ) -> None:
        super().__init__()
        doublings = max(0, math.ceil(math.log2(size / SMALLEST)))
        self.size, self.start = size, math.ceil(size / 2**doublings)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        widths = [*(max(narrowest, width // 2**i) for i in range(max(doublings, 1))), channels]
        self.stem = nn.Linear(dim, widths[0] * self.start**2)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            factor = 2 if doublings else 1
            layers += [
                nn.ReLU(),
                nn.Conv2d(before, after * factor**2, 3, padding=1),
                nn.PixelShuffle(factor),
            ]
        self.layers = nn.Sequential(*layers)

    def standardise(self, z: Tensor) -> None:
        """Sets `mean` and `std` to those of latents (n, dim) at length 1."""
        unit = F.normalize(z, dim=-1)
        spread = unit.std(dim=0, correction=0)
        self.mean.copy_(unit.mean(dim=0))
        self.std.copy_(torch.where(spread > 1e-6, spread, torch.full_like(spread, torch.inf)))

    def forward(self, z: Tensor) -> Tensor:
        x = (F.normalize(z, dim=-1) - self.mean) / self.std
        maps = self.stem(x).view(len(z), -1, self.start, self.start)
        return self.layers(maps)[..., : self.size, : self.size]


BATCH, RATE = 128, 3e-3


def train_decoder(z: Tensor, images: Tensor, *, seed: int, steps: int) -> ConvDecoder:
    """Trains a decoder of latents (n, d) to images (n, C, s, s) on the squared error. The optimiser
    is Adam with a learning rate that falls along half a cosine. Equal seeds give equal decoders.
    The global random stream stays unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = ConvDecoder(z.shape[1], images.shape[1], images.shape[-1])
    decoder = decoder.to(z.device)
    decoder.standardise(z)
    draws = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(decoder.parameters(), lr=RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        rows = torch.randint(len(z), (min(BATCH, len(z)),), generator=draws)
        loss = F.mse_loss(decoder(z[rows]), images[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return decoder.eval()


def pixels(views: Tensor, group: ViewGroup) -> Tensor:
    """Returns normalised views (n, V, C, H, W) as brightness in [0, 1] on the CPU, at most 64
    pixels a side."""
    mean, std = (
        torch.tensor(x, device=views.device).view(-1, 1, 1) for x in (group.mean, group.std)
    )
    flat = (views * std + mean).flatten(0, 1)
    if flat.shape[-1] > MOST_PIXELS:
        flat = F.adaptive_avg_pool2d(flat, MOST_PIXELS)
    return flat.unflatten(0, views.shape[:2]).clamp(0, 1).cpu()


@torch.no_grad()
def decode(decoder: ConvDecoder, z: Tensor) -> Tensor:
    """Returns images (n, C, s, s) in [0, 1], on the CPU, decoded from latents (n, d)."""
    return torch.cat([decoder(part) for part in z.split(1024)]).clamp(0, 1).cpu()


def psnr(decoded: Tensor, images: Tensor) -> float:
    """Returns 10 log10(1 / mean squared error) in dB, for brightness in [0, 1] and the error over
    all images. It is inf for an error of 0."""
    error = float((decoded.double() - images.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def image_r2(decoded: Tensor, images: Tensor) -> float:
    """Returns 1 - error / variance about the mean image, both summed over pixels. 1 is perfect and
    0 is the mean image. It is NaN if the images do not vary."""
    x = images.double()
    spread = float((x - x.mean(dim=0)).square().sum())
    return 1 - float((decoded.double() - x).square().sum()) / spread if spread > 0 else math.nan
