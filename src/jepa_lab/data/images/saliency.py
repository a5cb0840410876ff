"""Saliency: densities over the pixels of an image, computed from the image or read from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.data.user_arrays import read_npy
from jepa_lab.errors import UserError

WORKING_SIZE = 64  # pixels, the scale of the paper; larger images are reduced to it
SMOOTHING = 2.5  # standard deviation of the final blur, in pixels of the working size
QUIET = 1e-3  # amplitudes below this (pixels in 0..255) count as 0, since their phase is rounding


@torch.no_grad()
def spectral_residual(images: Tensor) -> Tensor:
    """Returns the saliency densities of images (N, C, H, W) uint8 by the spectral residual: (N, H,
    W) float32, >= 0, each with sum 1.

    The residual is the log-amplitude of the grey image's spectrum minus its 3x3 mean. It is
    transformed back with the image's own phase, squared and blurred. Larger images are first
    reduced by area to 64 pixels. An image of a single grey level has the uniform density. Computed
    in float64, so that a map does not depend on the other images of the batch.

    Source: Hou and Zhang, "Saliency Detection: A Spectral Residual Approach", CVPR 2007. The blur
    is that of their code. Raises ValueError for another dtype or rank.
    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(
            f"images must be uint8 (N, C, H, W), got {images.dtype} {tuple(images.shape)}"
        )
    n, _, h, w = images.shape
    if n == 0:
        return torch.zeros(n, h, w, device=images.device)
    grey = images.double().mean(1, keepdim=True)
    small = min(h, WORKING_SIZE), min(w, WORKING_SIZE)
    if small != (h, w):
        grey = F.interpolate(grey, size=small, mode="area")
    spectrum = torch.fft.fft2(grey)
    amplitude = spectrum.abs()
    log = (amplitude + QUIET).log()
    residual = log - _mean_of_nine(log)
    energy = torch.fft.ifft2(spectrum / (amplitude + QUIET) * residual.exp()).abs().square()
    blurred = _blur(small[0], energy) @ energy @ _blur(small[1], energy).T
    if small != (h, w):
        blurred = F.interpolate(blurred, size=(h, w), mode="bilinear", align_corners=False)
    return as_density(blurred[:, 0])


def as_density(maps: Tensor) -> Tensor:
    """Returns maps (N, H, W) >= 0 scaled to sum 1 each, in float32. A map of zeros becomes
    uniform."""
    maps = maps.double()
    total = maps.sum((1, 2), keepdim=True)
    uniform = 1.0 / max(maps[0].numel() if len(maps) else 1, 1)
    return torch.where(total > 0, maps / total.clamp_min(1e-300), uniform).float()


def load_saliency(path: Path, n: int, size: tuple[int, int], origin: str) -> Tensor:
    """Returns the maps of n images of `size` (H, W): (n, H, W) float32, each of sum 1, in the order
    of the images. The file is a .npy of densities (N, H, W) or (N, 1, H, W). Raises UserError for
    the first image whose map is missing, of another size, negative, not finite or zero
    everywhere."""
    if not path.is_file():
        raise UserError(
            f"{origin}: no file {path}; a .npy of densities (N, {size[0]}, {size[1]}), one map per"
            " image"
        )
    maps = read_npy(path, origin)
    if (
        maps.dtype.kind not in "fiu"
        or maps.ndim not in (3, 4)
        or (maps.ndim == 4 and maps.shape[1] != 1)
    ):
        raise UserError(
            f"{origin}: {path} holds {maps.dtype} {maps.shape}; densities (N, H, W) are needed"
        )
    if maps.shape[-2:] != size:
        found = f"{maps.shape[-2]}x{maps.shape[-1]}"
        raise UserError(
            f"{origin}: the map of image 0 in {path} is {found}, its image {size[0]}x{size[1]}"
        )
    if len(maps) < n:
        raise UserError(
            f"{origin}: image {len(maps)} has no map, {path} holds {len(maps)} maps for {n} images"
        )
    if len(maps) > n:
        raise UserError(
            f"{origin}: {path} holds {len(maps)} maps for {n} images; they do not belong together"
        )
    with np.errstate(over="ignore"):
        tensor = torch.from_numpy(maps.reshape(n, *size).astype(np.float32))
    check_maps(tensor, None, f"{origin}: {path}")
    return as_density(tensor)


def check_maps(maps: Tensor, names: list[str] | None, origin: str) -> None:
    """Raises UserError for the first of the maps (N, H, W) that is negative, not finite or zero
    everywhere."""
    flat = maps.flatten(1)
    faults = {
        "has values that are not finite": ~torch.isfinite(flat).all(1),
        "has negative values (a log-density? give its exponential)": (flat < 0).any(1),
        "is zero everywhere": (flat == 0).all(1),
    }
    wrong = torch.stack(list(faults.values())).any(0).nonzero()
    if len(wrong):
        i = int(wrong[0])
        name = names[i] if names else f"image {i}"
        what = next(text for text, fault in faults.items() if bool(fault[i]))
        raise UserError(f"{origin}: the map of {name} {what}")


def _mean_of_nine(x: Tensor) -> Tensor:
    """Returns the mean over 3x3 neighbours in a spectrum, which is periodic."""
    for dim in (-2, -1):
        x = (x.roll(-1, dim) + x + x.roll(1, dim)) / 3.0
    return x


def _blur(n: int, like: Tensor) -> Tensor:
    """Returns the matrix (n, n) of a Gaussian blur along one side. Its rows have sum 1 also at the
    borders."""
    at = torch.arange(n, dtype=like.dtype, device=like.device)
    weights = torch.exp(
        -0.5 * ((at[:, None] - at) / (SMOOTHING * min(1.0, n / WORKING_SIZE))).square()
    )
    return weights / weights.sum(1, keepdim=True)
