"""Rotations by quarter-turns, which are exact and form a group."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from jepa_lab.data.views.factor_sweeps import FactorSweep, make_sweep
from jepa_lab.data.views.view_group import ViewGroup, choice
from jepa_lab.devices import constant

N_ROTATIONS = 4
SINE_COSINE = ((0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0))  # of the quarter-turns


class Rotation(ViewGroup):
    """Rotations by multiples of 90 degrees, drawn independently and uniformly for each view.
    Counter-clockwise is positive, as in torch.rot90, PIL and torchvision's rotate.

    Parameters (P = 1, float32): the number of quarter-turns, 0..3. With `action_code="sincos"` an
    action is [sin, cos] of an angle (A = 2). With `"one_hot"` it marks one of 0, 90, 180, 270
    degrees (A = 4). The angle of a relative action is the difference of the two views' angles,
    wrapped.
    """

    name = "rotation"
    param_dim = 1
    draws_per_view = 1
    identity = (0.0,)

    def __init__(self, *, action_code: str = "sincos", **options: Any) -> None:
        super().__init__(**options)
        self.action_code = choice("action_code", action_code, ("sincos", "one_hot"))
        self.action_dim = 2 if action_code == "sincos" else N_ROTATIONS
        self.action_slices = {"rot": slice(0, self.action_dim)}

    def sweeps(self) -> list[FactorSweep]:
        turns = make_sweep("rot", "quarter-turns", torch.arange(4.0), self.identity, 0, 2)
        return [
            replace(
                turns, unit="degrees", values=turns.values * 90, angles=turns.values * (math.pi / 2)
            )
        ]

    def parameters(self, u: Tensor, maps: Tensor | None = None) -> Tensor:
        return torch.floor(u * N_ROTATIONS)

    def render_into(
        self, views: Tensor, images: Tensor, params: Tensor, scale: Tensor, shift: Tensor
    ) -> None:
        """Rotates every square image four times, then copies one of the results for each view."""
        b, c, h, w = images.shape
        if h != w:
            raise ValueError(f"quarter-turns need square images, got {tuple(images.shape)}")
        rotated = torch.empty(N_ROTATIONS, b, c, h, w, device=images.device)
        torch.mul(images, scale, out=rotated[0]).add_(shift)
        for turns in range(1, N_ROTATIONS):
            rotated[turns] = torch.rot90(rotated[0], turns, (-2, -1))
        row = self._turns(params) * b + torch.arange(b, device=images.device)[:, None]
        out = views.view(b * views.shape[1], c * h * w)
        torch.index_select(rotated.view(N_ROTATIONS * b, -1), 0, row.flatten(), out=out)

    def absolute(self, params: Tensor) -> Tensor:
        return self._code(self._turns(params))

    def relative(self, params_from: Tensor, params_to: Tensor) -> Tensor:
        return self._code(self._turns(params_to - params_from))

    def inverse(self, actions: Tensor) -> Tensor:
        if self.action_code == "one_hot":
            return actions.flip(-1).roll(1, -1)  # the turns 0, 3, 2, 1
        return actions * constant((-1.0, 1.0), actions)

    def compose(self, first: Tensor, then: Tensor) -> Tensor:
        if self.action_code == "sincos":
            return add_angles(first, then)
        shifted = torch.stack([then.roll(turns, -1) for turns in range(N_ROTATIONS)], dim=-2)
        return (first.unsqueeze(-1) * shifted).sum(-2)

    def _turns(self, params: Tensor) -> Tensor:
        """Returns quarter-turns (...,) int64 in 0..3 of parameters or their difference (..., 1)."""
        return params[..., 0].round().to(torch.int64) % N_ROTATIONS

    def _code(self, turns: Tensor) -> Tensor:
        if self.action_code == "one_hot":
            return one_hot(turns, N_ROTATIONS).float()
        return constant(SINE_COSINE, turns, torch.float32)[turns]


def add_angles(first: Tensor, then: Tensor) -> Tensor:
    """Returns [sin, cos] of a + b from [sin a, cos a] and [sin b, cos b], (..., 2) each."""
    (sin_a, cos_a), (sin_b, cos_b) = first.unbind(-1), then.unbind(-1)
    return torch.stack([sin_a * cos_b + cos_a * sin_b, cos_a * cos_b - sin_a * sin_b], dim=-1)
