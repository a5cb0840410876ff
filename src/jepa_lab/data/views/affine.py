"""Rotation, translation and scale of images, rendered in a single resampling."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from jepa_lab.data.views.factor_sweeps import FactorSweep, angle_grid, make_sweep
from jepa_lab.data.views.rotation import add_angles
from jepa_lab.data.views.view_group import ViewGroup, choice, chunk_size, interval
from jepa_lab.devices import constant, reads_are_free
from jepa_lab.errors import UserError

MODES = {
    "multi": ("rot", "trans", "scale"),
    "rot_only": ("rot",),
    "trans_only": ("trans",),
    "scale_only": ("scale",),
}


class Affine(ViewGroup):
    """Random rotation, translation and scale about the image centre.

    Rotations are uniform in degrees. Translations are uniform over whole pixels, ends included.
    `scale_law` is log_uniform or uniform. `mode` selects the varied factors: rot_only, trans_only,
    scale_only or multi (all). The others stay at identity.

    Parameters (P = 4): theta in degrees, tx and ty in pixels, scale. They have the meaning of
    torchvision's `affine(image, angle=theta, translate=[tx, ty], scale=scale, shear=[0, 0])`. The
    image is scaled, then rotated clockwise (!) by theta, then shifted right by tx and down by ty.
    With `padding="zeros"` the pixels equal torchvision's on tensors. These zeros are black and are
    filled in before normalising. `"border"` and `"reflection"` continue the image as torch's
    grid_sample does (reflection about the outer edge of the last pixel).

    Actions (A = 5): [sin t, cos t, tx / tmax, ty / tmax, ln s], with tmax = max(|low|, |high|, 1)
    of the translation range. A relative action codes the differences of the parameters in this
    form, with the angle wrapped. Factors that do not vary keep their constant entries. As
    published, this is not the relative transformation T_b T_a^-1: the other factors do not rotate
    or scale the translation. With `relative_action="group"` the action is T_b T_a^-1, and `compose`
    and `inverse` are those of transformations of the plane.

    The published pipeline resamples three times (scale with an antialiased resize of a padded
    canvas, rotate nearest, translate) and crops to the canvas in between. Here each view is sampled
    once from the image. It is therefore sharper and loses nothing that leaves the canvas on the
    way, but small scales are not antialiased. A view with identity parameters equals the image bit
    for bit.
    """

    name = "affine"
    param_dim = 4
    action_dim = 5
    draws_per_view = 4
    whole_batch = True
    identity = (0.0, 0.0, 0.0, 1.0)

    def __init__(
        self,
        *,
        mode: str = "multi",
        rotation: Sequence[float] = (-75.0, 75.0),
        translation: Sequence[int] = (-7, 7),
        scale: Sequence[float] = (0.5, 1.0),
        scale_law: str = "log_uniform",
        interpolation: str = "bilinear",
        padding: str = "zeros",
        relative_action: str = "difference",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.mode = choice("mode", mode, tuple(MODES))
        self.rotation = interval("rotation", rotation)
        low, high = interval("translation", translation)
        if low != int(low) or high != int(high):
            raise UserError(
                f"dataset.translation=[{low:g}, {high:g}]: whole pixels, such as [-7, 7]"
            )
        self.translation = (int(low), int(high))
        self.scale = interval("scale", scale, above=0.0)
        self.scale_law = choice("scale_law", scale_law, ("log_uniform", "uniform"))
        self.interpolation = choice("interpolation", interpolation, ("bilinear", "nearest"))
        self.padding = choice("padding", padding, ("zeros", "reflection", "border"))
        self.relative_action = choice("relative_action", relative_action, ("difference", "group"))
        self.translation_unit = float(max(abs(self.translation[0]), abs(self.translation[1]), 1))
        self.action_slices = {
            "rot": slice(0, 2),
            "trans_x": slice(2, 3),
            "trans_y": slice(3, 4),
            "scale": slice(4, 5),
        }

    def sweeps(self) -> list[FactorSweep]:
        """Returns sweeps of all four factors over their ranges, whatever the mode: 36 angles, every
        whole pixel, 11 scales. Each contains the identity. A factor whose range is a single value
        has none."""
        low, high = self.translation
        pixels = torch.arange(low, high + 1, dtype=torch.float64)
        scales = torch.linspace(
            math.log(self.scale[0]), math.log(self.scale[1]), 11, dtype=torch.float64
        ).exp()
        sweeps = [
            make_sweep("rot", "degrees", angle_grid(*self.rotation), self.identity, 0, 2),
            make_sweep("trans_x", "pixels", pixels, self.identity, 1, 1),
            make_sweep("trans_y", "pixels", pixels, self.identity, 2, 1),
            make_sweep("scale", "", scales, self.identity, 3, 1, zero=1.0),
        ]
        return [sweep for sweep in sweeps if len(sweep.values.unique()) > 1]

    def parameters(self, u: Tensor, maps: Tensor | None = None) -> Tensor:
        low, high = self.translation
        theta = self.rotation[0] + u[..., 0] * (self.rotation[1] - self.rotation[0])
        shift = low + torch.floor(u[..., 1:3] * (high - low + 1))
        if self.scale_law == "uniform":
            scale = self.scale[0] + u[..., 3] * (self.scale[1] - self.scale[0])
        else:
            scale = self.scale[0] * torch.exp(u[..., 3] * math.log(self.scale[1] / self.scale[0]))
        params = torch.cat([theta[..., None], shift, scale[..., None]], dim=-1)
        active = MODES[self.mode]
        keep = ("rot" in active, "trans" in active, "trans" in active, "scale" in active)
        return torch.where(
            constant(keep, params, torch.bool), params, constant(self.identity, params)
        )

    def render_into(
        self, views: Tensor, images: Tensor, params: Tensor, scale: Tensor, shift: Tensor
    ) -> None:
        """Samples by the inverse mapping, all views of a chunk of images at once.

        The maps of the whole batch are computed first, as they are small. The buffers of a chunk
        are used again for the next one and stay in the cache.
        """
        (c, h, w), step = images.shape[1:], chunk_size(views)
        moved = (params != constant(self.identity, params)).any(-1)
        # reference views need no sampling, but an accelerator would have to be asked
        start = 1 - int(moved[:, 0].any()) if reads_are_free(moved) else 0
        sampled = views[:, start:].transpose(1, 2)
        across, down = sampling_positions(params[:, start:], h, w)
        source = torch.empty(min(step, len(images)), c, h, w, device=images.device)
        positions = source.new_empty(len(source), 2, sampled.shape[2], h, w)
        for at in range(0, len(images), step):
            chunk = slice(at, at + step)
            pixels = source[: len(images[chunk])].copy_(images[chunk]).mul_(scale)
            if start:
                torch.add(pixels, shift, out=views[chunk, 0])
            if start == params.shape[1]:
                continue
            planes = torch.add(across[chunk], down[chunk], out=positions[: len(pixels)])
            grid = planes.flatten(2, 3).permute(0, 2, 3, 1)
            # Black is still 0 in `pixels`, as the shift is added later. Zero padding is therefore
            # black and not the mean.
            found = grid_sample(
                pixels, grid, self.interpolation, self.padding, align_corners=False
            ).view(len(pixels), c, -1, h, w)
            torch.add(found, shift[:, None], out=sampled[chunk])
        if not reads_are_free(moved):
            as_it_is = (images * scale + shift)[:, None]
            views.copy_(torch.where(moved[:, :, None, None, None], views, as_it_is))
            return
        sample, view = moved[:, start:].logical_not().nonzero(as_tuple=True)
        if len(sample):
            views[sample, view + start] = images[sample] * scale + shift

    def absolute(self, params: Tensor) -> Tensor:
        return self._code(params[..., :1], params[..., 1:3], params[..., 3:])

    def relative(self, params_from: Tensor, params_to: Tensor) -> Tensor:
        difference = params_to - params_from
        if self.relative_action == "group":
            ratio = params_to[..., 3:] / params_from[..., 3:]
            moved = turned(difference[..., 0], params_from[..., 1:3]) * ratio
            return self._code(difference[..., :1], params_to[..., 1:3] - moved, ratio)
        return self._code(
            difference[..., :1], difference[..., 1:3], params_to[..., 3:] / params_from[..., 3:]
        )

    def inverse(self, actions: Tensor) -> Tensor:
        back = actions * constant((-1.0, 1.0, -1.0, -1.0, -1.0), actions)
        if self.relative_action == "difference":
            return back
        shift = turned(angle_of(back), actions[..., 2:4]) * back[..., 4:].exp()
        return torch.cat([back[..., :2], -shift, back[..., 4:]], dim=-1)

    def compose(self, first: Tensor, then: Tensor) -> Tensor:
        added = first[..., 2:] + then[..., 2:]
        if self.relative_action == "group":
            shift = turned(angle_of(then), first[..., 2:4]) * then[..., 4:].exp() + then[..., 2:4]
            added = torch.cat([shift, added[..., 2:]], dim=-1)
        return torch.cat([add_angles(first[..., :2], then[..., :2]), added], dim=-1)

    def _code(self, theta: Tensor, shift: Tensor, ratio: Tensor) -> Tensor:
        """Returns (..., 5) from degrees (..., 1), pixels (..., 2) and a scale or ratio of scales
        (..., 1).

        Sine and cosine wrap the angle. The logarithm needs a contiguous tensor. Otherwise torch may
        round differently, and a sample in a batch of one would differ from the same sample in a
        larger batch.
        """
        radians = torch.deg2rad(theta)
        log_ratio = ratio.contiguous().log()
        return torch.cat(
            [radians.sin(), radians.cos(), shift / self.translation_unit, log_ratio], dim=-1
        )


def turned(degrees: Tensor, shift: Tensor) -> Tensor:
    """Returns a shift (..., 2), x right and y down, rotated clockwise by degrees (...), as the
    images are."""
    radians = torch.deg2rad(degrees)
    (x, y), cos, sin = shift.unbind(-1), radians.cos(), radians.sin()
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)


def angle_of(actions: Tensor) -> Tensor:
    """Returns the angle in degrees (...) of actions (..., 5), which start with its sine and
    cosine."""
    return torch.rad2deg(torch.atan2(actions[..., 0], actions[..., 1]))


def sampling_positions(params: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Returns the source position of each output pixel in two parts that are to be added: params
    (B, V, 4) -> (B, 2, V, 1, W) and (B, 2, V, H, 1), in units of grid_sample, align_corners=False.

    x and y are in separate planes, which are faster to write and to read. Pixel coordinates are
    centred on the image. The inverse of `p -> s R(theta) p + t` is `p -> R(-theta) (p - t) / s`
    with y pointing down. The matrices are computed in float64, so the samples agree with
    torchvision, which uses Python floats.
    """
    theta, tx, ty, scale = params.double().unbind(-1)
    radians = torch.deg2rad(theta)
    cos, sin = radians.cos() / scale, radians.sin() / scale
    of_x = torch.stack([cos * (2.0 / w), -sin * (2.0 / h)], dim=1).float().unsqueeze(-1)
    of_y = torch.stack([sin * (2.0 / w), cos * (2.0 / h)], dim=1).float().unsqueeze(-1)
    offset_x, offset_y = -(cos * tx + sin * ty) * (2.0 / w), (sin * tx - cos * ty) * (2.0 / h)
    offset = torch.stack([offset_x, offset_y], dim=1).float().unsqueeze(-1)
    x = torch.arange(w, device=params.device, dtype=torch.float32) - (w - 1) / 2
    y = torch.arange(h, device=params.device, dtype=torch.float32) - (h - 1) / 2
    return (of_x * x).unsqueeze(-2), (of_y * y + offset).unsqueeze(-1)
