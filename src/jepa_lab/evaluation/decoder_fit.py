"""A decoder trained on frozen latents, and how near its images come."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.networks.decoder import ConvDecoder

BATCH, RATE = 128, 3e-3


def train_decoder(z: Tensor, images: Tensor, *, seed: int, steps: int) -> ConvDecoder:
    """A decoder of latents (n, d) to images (n, C, s, s), trained on the squared error: Adam, its rate falling along
    half a cosine. The same for the same seed; no other random stream moves."""
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


@torch.no_grad()
def decode(decoder: ConvDecoder, z: Tensor) -> Tensor:
    """Images (n, C, s, s) in [0, 1], on the CPU, of latents (n, d)."""
    return torch.cat([decoder(part) for part in z.split(1024)]).clamp(0, 1).cpu()


def psnr(decoded: Tensor, images: Tensor) -> float:
    """10 log10(1 / mean squared error) dB, brightness in [0, 1], the error over all images; inf where it is 0."""
    error = float((decoded.double() - images.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def image_r2(decoded: Tensor, images: Tensor) -> float:
    """1 - error / variance about the mean image, both summed over pixels; 1 is perfect, 0 the mean image; NaN where
    the images do not vary."""
    x = images.double()
    spread = float((x - x.mean(dim=0)).square().sum())
    return 1 - float((decoded.double() - x).square().sum()) / spread if spread > 0 else math.nan
