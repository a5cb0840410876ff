"""Saccades: patches of an image at successive fixations, and the steps between them."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.data.images.saliency import spectral_residual
from jepa_lab.data.views.view_group import ViewGroup, choice
from jepa_lab.devices import constant
from jepa_lab.errors import UserError

FLOOR = 1e-16  # least mass of every cell after inhibition, so that densities never sum to 0


class Saccade(ViewGroup):
    """Square patches of fovea x fovea pixels around fixations, which are drawn one after another
    from a density.

    `saliency` selects the density: "spectral" (the spectral residual of the image), "file" (maps
    that come with the images) or "uniform". With `inhibition` (inhibition of return) the square |d
    row|, |d col| <= fovea / 2 around a fixation is not visited again while the density has mass
    elsewhere. There is no reference view. `image_size` (H, W) is that of all images.

    Parameters (P = 2): row and column of the fixated pixel. The patch holds the rows row - fovea //
    2 to row - fovea // 2 + fovea - 1, and columns likewise. It is a slice of the image, black
    beyond the border. Actions (A = 2): differences of the positions in units of the image's height
    and width.

    Source: seq-JEPA, predictive learning across saccades. Its public code swaps row and column when
    it cuts the patches.
    """

    name = "saccade"
    param_dim = 2
    action_dim = 2
    draws_per_view = 1

    def __init__(
        self,
        *,
        image_size: Sequence[int],
        fovea: int,
        saliency: str = "spectral",
        inhibition: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**{"first_view": "random", **options})
        if self.first_view != "random":
            raise UserError(NO_REFERENCE)
        h, w = image_size
        if not 1 <= fovea <= min(h, w):
            raise UserError(
                f"dataset.fovea={fovea}: must lie between 1 and {min(h, w)}, the side of the images"
            )
        self.image_size = (int(h), int(w))
        self.fovea = int(fovea)
        self.saliency = choice("saliency", saliency, ("spectral", "file", "uniform"))
        self.inhibition = inhibition
        self.action_slices = {"position": slice(0, 2)}

    @property
    def identity(self) -> tuple[float, ...]:
        raise UserError(NO_REFERENCE)

    def view_size(self, h: int, w: int) -> tuple[int, int]:
        return self.fovea, self.fovea

    def maps(self, images: Tensor) -> Tensor:
        """Returns the densities (B, H, W) of images without maps. Raises ValueError for saliency
        "file"."""
        if self.saliency == "file":
            raise ValueError("saliency=file needs the maps of the images")
        if self.saliency == "uniform":
            h, w = self.image_size
            return torch.full((1, h, w), 1.0 / (h * w), device=images.device).expand(
                len(images), h, w
            )
        return spectral_residual(images)

    def parameters(self, u: Tensor, maps: Tensor | None = None) -> Tensor:
        """Maps uniform numbers (B, V, 1) to fixations (B, V, 2) by the inverse of the cumulative
        densities of maps (B, H, W). The loop is over views only."""
        if maps is None or tuple(maps.shape[1:]) != self.image_size or len(maps) != len(u):
            h, w = self.image_size
            raise ValueError(
                f"maps must be ({len(u)}, {h}, {w}), got"
                f" {None if maps is None else tuple(maps.shape)}"
            )
        mass, fixations = maps.double(), []
        for v in range(u.shape[1]):
            fixations.append(fixate(mass, u[:, v, 0]))
            if self.inhibition:
                mass = inhibit(mass, fixations[-1], self.fovea / 2)
        return torch.stack(fixations, dim=1).float()

    def render_into(
        self, views: Tensor, images: Tensor, params: Tensor, scale: Tensor, shift: Tensor
    ) -> None:
        """Gathers every patch as one window of the padded images, without resampling."""
        if tuple(images.shape[2:]) != self.image_size:
            raise ValueError(f"images must be {self.image_size}, got {tuple(images.shape)}")
        before, after = self.fovea // 2, self.fovea - self.fovea // 2 - 1
        padded = F.pad(images, (before, after, before, after))
        # (B, C, H, W, fovea, fovea), a view
        windows = padded.unfold(2, self.fovea, 1).unfold(3, self.fovea, 1)
        row, column = params.round().long().unbind(-1)
        sample = torch.arange(len(images), device=images.device)[:, None]
        torch.mul(windows[sample, :, row, column], scale, out=views).add_(shift)

    def absolute(self, params: Tensor) -> Tensor:
        return params / constant(self.image_size, params)

    def relative(self, params_from: Tensor, params_to: Tensor) -> Tensor:
        return self.absolute(params_to - params_from)

    def inverse(self, actions: Tensor) -> Tensor:
        return -actions

    def compose(self, first: Tensor, then: Tensor) -> Tensor:
        return first + then


NO_REFERENCE = (
    "dataset.first_view=reference: saccades have no reference view; give dataset.first_view=random"
)


def fixate(mass: Tensor, u: Tensor) -> Tensor:
    """Returns one cell (row, column), (B, 2) int64, of every density (B, H, W): the inverse of its
    cumulative sum at u (B,).

    u has 24 bits. Half a step is added, so that u = 0 does not select a cell with no more than
    FLOOR.
    """
    total = mass.flatten(1).double().cumsum(1)
    at = (u.double() + 2.0**-25)[:, None] * total[:, -1:]
    cell = torch.searchsorted(total, at, right=True).clamp_max(total.shape[1] - 1)[:, 0]
    return torch.stack([cell // mass.shape[2], cell % mass.shape[2]], dim=-1)


def inhibit(mass: Tensor, fixation: Tensor, radius: float) -> Tensor:
    """Returns the densities (B, H, W) without the squares |d row|, |d column| <= radius around the
    fixations (B, 2), scaled to sum 1. Every cell first gains FLOOR, so densities with no mass
    elsewhere become uniform."""
    rows = torch.arange(mass.shape[1], device=mass.device)
    columns = torch.arange(mass.shape[2], device=mass.device)
    near_row = (rows - fixation[:, :1]).abs() <= radius
    near_column = (columns - fixation[:, 1:]).abs() <= radius
    left = mass.masked_fill(near_row[:, :, None] & near_column[:, None, :], 0.0) + FLOOR
    return left / left.sum((1, 2), keepdim=True)
