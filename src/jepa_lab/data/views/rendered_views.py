"""Views from files: renderings of an object, each with its latents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jepa_lab.data.images.rendered_objects import N_LATENTS
from jepa_lab.data.views.rotations_3d import between, conjugate, from_euler, product
from jepa_lab.data.views.view_group import ViewGroup, choice
from jepa_lab.errors import UserError

HUES = slice(3, 7, 3)  # latents: hue of the floor, hue of the spot
LATENT_TYPES = {"rot": 4, "color": 2, "rotcolor": 6}  # the width of an action
NO_REFERENCE = (
    "dataset.first_view=reference: renderings have no reference view; give"
    " dataset.first_view=random"
)


class Rendered(ViewGroup):
    """Distinct renderings of an object, from an image that holds `renderings` (K) of them as its K
    * C channels.

    `latent_type` selects the content of an action: "rot" is the canonical quaternion of R1^-1 R2 (A
    = 4), "color" the differences of the hues of floor and spot (A = 2), "rotcolor" both (A = 6).
    Parameters (P = 8) are the number of the rendering and its 7 latents. The maps of a batch are
    the latents (B, K, 7) of all its renderings. There is no reference view.

    Source of the data: Garrido, Najman and LeCun, "Self-supervised learning of Split Invariant
    Equivariant representations", ICML 2023. They did not specify the sign of the quaternions.
    """

    name = "rendered"
    param_dim = 1 + N_LATENTS
    draws_per_view = 1

    def __init__(self, *, renderings: int, latent_type: str = "rot", **options: Any) -> None:
        super().__init__(**{"first_view": "random", **options})
        if self.first_view != "random":
            raise UserError(NO_REFERENCE)
        if self.n_views > renderings:
            raise UserError(
                f"dataset.n_views={self.n_views}: must not exceed {renderings}, the renderings of"
                " an object"
            )
        self.renderings = int(renderings)
        self.latent_type = choice("latent_type", latent_type, tuple(LATENT_TYPES))
        self.action_dim = LATENT_TYPES[latent_type]
        widths = {
            "quaternion": 4 if "rot" in latent_type else 0,
            "hues": 2 if "color" in latent_type else 0,
        }
        start = widths["quaternion"]
        slices = {"quaternion": slice(0, start), "hues": slice(start, start + widths["hues"])}
        self.action_slices = {name: slices[name] for name, width in widths.items() if width}

    @property
    def identity(self) -> tuple[float, ...]:
        raise UserError(NO_REFERENCE)

    def maps(self, images: Tensor) -> Tensor:
        """Raises ValueError, since the latents cannot be computed from images."""
        raise ValueError("rendered views need the latents of the renderings")

    def parameters(self, u: Tensor, maps: Tensor | None = None) -> Tensor:
        """Maps uniform numbers (B, V, 1) and latents (B, K, 7) to parameters (B, V, 8). View v is
        one of the K - v renderings that are left, with equal probability. The loops are over views
        only."""
        if maps is None or tuple(maps.shape) != (len(u), self.renderings, N_LATENTS):
            shape = None if maps is None else tuple(maps.shape)
            raise ValueError(
                f"latents must be ({len(u)}, {self.renderings}, {N_LATENTS}), got {shape}"
            )
        chosen: list[Tensor] = []
        for v in range(u.shape[1]):
            # position among the renderings that are left
            number = (u[:, v, 0].double() * (self.renderings - v)).long()
            for taken in torch.stack(chosen, 1).sort(dim=1).values.unbind(1) if chosen else ():
                number = number + (number >= taken)
            chosen.append(number)
        rendering = torch.stack(chosen, dim=1)
        latents = maps.gather(1, rendering[:, :, None].expand(-1, -1, N_LATENTS))
        return torch.cat([rendering[:, :, None].to(latents.dtype), latents], dim=-1)

    def render_into(
        self, views: Tensor, images: Tensor, params: Tensor, scale: Tensor, shift: Tensor
    ) -> None:
        """Gathers the channels of the renderings."""
        held = images.unflatten(1, (self.renderings, len(self.mean)))
        sample = torch.arange(len(images), device=images.device)[:, None]
        torch.mul(held[sample, params[..., 0].round().long()], scale, out=views).add_(shift)

    def absolute(self, params: Tensor) -> Tensor:
        return absolute(params[..., 1:], self.latent_type)

    def relative(self, params_from: Tensor, params_to: Tensor) -> Tensor:
        return relative(params_from[..., 1:], params_to[..., 1:], self.latent_type)

    def inverse(self, actions: Tensor) -> Tensor:
        return inverse(actions)

    def compose(self, first: Tensor, then: Tensor) -> Tensor:
        return compose(first, then)


def absolute(latents: Tensor, latent_type: str) -> Tensor:
    """Returns the action code (..., A) of latents (..., 7): for rot the canonical quaternion (A =
    4), for color the hues of floor and spot (A = 2), for rotcolor both (A = 6). Raises ValueError
    for another type or width."""
    if latent_type not in LATENT_TYPES or latents.shape[-1] != N_LATENTS:
        raise ValueError(
            f"latents (..., 7) of type {', '.join(LATENT_TYPES)}; got {latent_type}"
            f" {tuple(latents.shape)}"
        )
    parts = {"rot": from_euler(latents[..., :3]), "color": latents[..., HUES]}
    return torch.cat([part for name, part in parts.items() if name in latent_type], dim=-1)


def relative(latents_from: Tensor, latents_to: Tensor, latent_type: str) -> Tensor:
    """Returns the action (..., A) between the latents of two views: R1^-1 R2, and the differences
    of the hues."""
    return _combine(absolute(latents_from, latent_type), absolute(latents_to, latent_type), -1)


def inverse(actions: Tensor) -> Tensor:
    """Returns the inverse actions (..., A): `inverse(relative(a, b)) == relative(b, a)`. The width
    of the actions determines their type."""
    rot = _rotation_width(actions)
    turned = [conjugate(actions[..., :4])] if rot else []
    return torch.cat([*turned, -actions[..., rot:]], dim=-1)


def compose(first: Tensor, then: Tensor) -> Tensor:
    """Returns the composed action: `compose(relative(a, b), relative(b, c)) == relative(a, c)`,
    (..., A) each."""
    return _combine(first, then, 1)


def _combine(a: Tensor, b: Tensor, sign: int) -> Tensor:
    """Combines codes or actions: R(a) R(b) and a + b for sign 1, R(a)^-1 R(b) and b - a for sign
    -1."""
    rot = _rotation_width(a)
    rotation = product if sign > 0 else between
    turned = [rotation(a[..., :4], b[..., :4])] if rot else []
    return torch.cat([*turned, b[..., rot:] + sign * a[..., rot:]], dim=-1)


def _rotation_width(actions: Tensor) -> int:
    return 4 if actions.shape[-1] >= 4 else 0
