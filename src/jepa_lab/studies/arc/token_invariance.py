"""The invariance loss, and the transforms of the public ARC code, kept to reproduce its numbers.

The loss compares an example's vectors with those of its transform. The public code transforms not
the grids but the 23 features of their objects: area, perimeter, height, width, aspect, number of
colours, dominant colour (0 to 9, a number), centroid (y, x), bounding box (min y, min x, max y,
max x) and ten counts of the object's own colours. Each docstring describes why its transform is
not a symmetry of grids. Places without a token stay zero, and the adjacency is not changed.
"""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.devices import sent
from jepa_lab.losses.rows import at_least_float32

N_FEATURES = 23
DOMINANT_COLOR = 6
POSITIONS_Y, POSITIONS_X = slice(7, 12, 2), slice(8, 13, 2)  # centroid, min, max
HISTOGRAM = slice(13, 23)


def invariance(reference: Tensor, transformed: Tensor) -> Tensor:
    """Returns the squared difference of two (B, h), mean over rows and dimensions.

    Computed in float32 or better, outside autocast. No gradient is stopped. Raises ValueError for
    unequal shapes.
    """
    if reference.shape != transformed.shape or reference.ndim != 2:
        shapes = f"{tuple(reference.shape)} and {tuple(transformed.shape)}"
        raise ValueError(f"expected two (B, h) tensors of one shape, got {shapes}")
    with torch.autocast(reference.device.type, enabled=False):
        return F.mse_loss(at_least_float32(transformed), at_least_float32(reference))


def transform_generator(seed: int, step: int, family: str, branch: str) -> torch.Generator:
    """Returns the random generator (CPU) of one transform.

    It depends on its arguments alone, so that a resumed run draws the same numbers. `branch` is
    context or target. As published, the two are transformed independently.
    """
    digest = hashlib.blake2b(
        repr((int(seed), int(step), family, branch)).encode(), digest_size=8
    ).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def published_color(features: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Permutes the colours in features (n, N, 23), with mask (n, N) bool.

    One permutation of the ten colours, including the background, applies to the dominant colour of
    all grids. An unrelated permutation applies to the places of the histogram, so that counts move
    to places that no tokeniser fills.
    """
    _check(features, mask)
    palette, places = (
        sent(torch.randperm(10, generator=generator), features.device) for _ in range(2)
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
    """Moves centroid and box in features (n, N, 23), with mask (n, N) bool, by up to max_delta of
    the grid, clamped to [0, 1].

    Every object moves independently, so this is not a translation of the grid. Raises ValueError
    for max_delta outside [0, 1].
    """
    _check(features, mask)
    if not 0 <= max_delta <= 1:
        raise ValueError(f"max_delta must be in [0, 1], got {max_delta}")
    drawn = sent(torch.rand(*features.shape[:2], 2, generator=generator), features)
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
    """Flips the positions in features (n, N, 23), with mask (n, N) bool, by one mode for all grids.

    The mode "horizontal" flips x, every other name flips y. A position c becomes 1 - c, and the two
    ends of the box are swapped. This is off by one cell: positions are indices of cells, and a flip
    of H cells maps c to (H - 1) / H - c. Raises ValueError without a mode.
    """
    _check(features, mask)
    if not modes:
        raise ValueError("modes must name at least one flip, got none")
    mode = modes[int(torch.randint(len(modes), (1,), generator=generator))]
    columns = POSITIONS_X if mode == "horizontal" else POSITIONS_Y
    centroid, low, high = features[..., columns].unbind(-1)
    out = features.clone()
    out[..., columns] = 1.0 - torch.stack([centroid, high, low], dim=-1)
    return out.masked_fill(~mask.unsqueeze(-1), 0.0)


def _check(features: Tensor, mask: Tensor) -> None:
    if features.ndim != 3 or features.shape[-1] != N_FEATURES or mask.shape != features.shape[:2]:
        shapes = f"{tuple(features.shape)} and {tuple(mask.shape)}"
        raise ValueError(
            f"expected the published features (n, N, {N_FEATURES}) and a mask (n, N), got {shapes}"
        )
