"""Invariance: what a transformed example encodes to should be what the example does. And, kept to
reproduce its numbers, how the public ARC code transforms: not the grids, but the 23 features of
their objects.

Those are area, perimeter, height, width, aspect, number of colours, dominant colour (0 to 9, a
number), centroid (y, x), bounding box (min y, min x, max y, max x) and ten counts of the object's
own colours. What is no symmetry of grids in the transforms is told at each. They keep places
without a token at zero, and leave the adjacency alone.
"""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.losses.rows import at_least_float32

N_FEATURES = 23
DOMINANT_COLOR = 6
POSITIONS_Y, POSITIONS_X = [7, 9, 11], [8, 10, 12]  # centroid, min, max
HISTOGRAM = slice(13, 23)


def invariance(reference: Tensor, transformed: Tensor) -> Tensor:
    """Mean over rows and dimensions of the squared difference of two (B, h); a scalar in float32 or
    better, outside autocast. No gradient is stopped here. ValueError for unequal shapes."""
    if reference.shape != transformed.shape or reference.ndim != 2:
        shapes = f"{tuple(reference.shape)} and {tuple(transformed.shape)}"
        raise ValueError(f"expected two (B, h) tensors of one shape, got {shapes}")
    with torch.autocast(reference.device.type, enabled=False):
        return F.mse_loss(at_least_float32(transformed), at_least_float32(reference))


def transform_generator(seed: int, step: int, family: str, branch: str) -> torch.Generator:
    """The generator (CPU) of one transform: a function of its arguments alone, so a resumed run
    draws the same. `branch`, context or target: as published, the two are transformed
    independently."""
    digest = hashlib.blake2b(
        repr((int(seed), int(step), family, branch)).encode(), digest_size=8
    ).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def published_color(features: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """(n, N, 23), mask (n, N) bool -> (n, N, 23). One permutation of the ten colours, background
    too, for all grids on the dominant colour, and another one, unrelated, on the histogram's
    places: counts land in places that no tokeniser fills."""
    _check(features, mask)
    palette, places = (
        torch.randperm(10, generator=generator).to(features.device) for _ in range(2)
    )
    out = features.clone()
    out[..., DOMINANT_COLOR] = palette[features[..., DOMINANT_COLOR].round().long().clamp(0, 9)].to(
        features.dtype
    )
    out[..., HISTOGRAM] = features[..., HISTOGRAM][..., places]
    return out.masked_fill(~mask.unsqueeze(-1), 0.0)


def published_translation(
    features: Tensor, mask: Tensor, generator: torch.Generator, max_delta: float = 0.1
) -> Tensor:
    """(n, N, 23), mask (n, N) bool -> (n, N, 23). Centroid and box move by up to max_delta of the
    grid, clamped to [0, 1]: every object by itself, so it is no translation of the grid. ValueError
    for max_delta outside [0, 1]."""
    _check(features, mask)
    if not 0 <= max_delta <= 1:
        raise ValueError(f"max_delta must be in [0, 1], got {max_delta}")
    drawn = torch.rand(*features.shape[:2], 2, generator=generator).to(features)
    delta = (2.0 * drawn - 1.0) * max_delta
    out = features.clone()
    for axis, columns in enumerate((POSITIONS_Y, POSITIONS_X)):
        out[..., columns] = (features[..., columns] + delta[..., axis, None]).clamp(0.0, 1.0)
    return out.masked_fill(~mask.unsqueeze(-1), 0.0)


def published_symmetry(
    features: Tensor,
    mask: Tensor,
    generator: torch.Generator,
    modes: tuple[str, ...] = ("horizontal", "vertical"),
) -> Tensor:
    """(n, N, 23), mask (n, N) bool -> (n, N, 23). One of the modes for all grids; "horizontal"
    flips x, every other name y. A position c becomes 1 - c and the box's ends change places: off by
    one cell, as positions are indices of cells (a flip of H cells takes c to (H - 1) / H - c).
    ValueError without a mode."""
    _check(features, mask)
    if not modes:
        raise ValueError("modes must name at least one flip, got none")
    mode = modes[int(torch.randint(len(modes), (1,), generator=generator))]
    centroid, low, high = POSITIONS_X if mode == "horizontal" else POSITIONS_Y
    out = features.clone()
    out[..., [centroid, low, high]] = 1.0 - features[..., [centroid, high, low]]
    return out.masked_fill(~mask.unsqueeze(-1), 0.0)


def _check(features: Tensor, mask: Tensor) -> None:
    if features.ndim != 3 or features.shape[-1] != N_FEATURES or mask.shape != features.shape[:2]:
        shapes = f"{tuple(features.shape)} and {tuple(mask.shape)}"
        raise ValueError(
            f"expected the published features (n, N, {N_FEATURES}) and a mask (n, N), got {shapes}"
        )
