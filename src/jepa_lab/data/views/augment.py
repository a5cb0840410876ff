"""The augmentations of self-supervised learning: crop, flip, colour jitter, grey, blur,
solarise."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from jepa_lab.data.views import pixel_operations as pixels
from jepa_lab.data.views.view_group import ViewGroup, choice
from jepa_lab.devices import constant, sent
from jepa_lab.errors import UserError

TRIES = 10
SCALE, RATIO = (0.2, 1.0), (3 / 4, 4 / 3)
JITTER = (0.4, 0.4, 0.2, 0.1)  # brightness, contrast, saturation, hue
BLUR_P, SOLARISE_P = (1.0, 0.1), (0.0, 0.2)  # probabilities for (observed views, target)
CODED = (slice(0, 4), slice(5, 9), slice(11, 12))  # the parameters in an action
TABLE_BYTES = 1 << 26  # limit for a table of all crop weights


class Augment(ViewGroup):
    """The augmentations of seq-JEPA on CIFAR-100, for square images of one or three channels.

    Each view has these operations in this order:

    - Random resized crop: area 0.2 to 1 of the image, log-uniform ratio 3/4 to 4/3, the first of
      ten tries that fits, as in torchvision. It is bicubic, as in PIL and in torchvision with
      antialias=True.
    - Mirroring with probability 0.5.
    - Colour jitter with probability 0.8: brightness and contrast 0.6 to 1.4, saturation 0.8 to 1.2,
      hue -0.1 to 0.1, in random order.
    - Grey with probability 0.2.
    - Gaussian blur: kernel 3 for 32 pixels, 7 for 64, never below 3; sigma 0.1 to 2; with
      probability 1 for observed views, 0.1 for the target.
    - Solarise at 128, with probability 0 for observed views, 0.2 for the target.

    The target is the last of the n_views views. Its other operations are drawn as for an observed
    view. Pixels are not rounded to 8 bits between the operations.

    Parameters (P = 13): top, left, height and width of the crop in pixels, mirrored (0 or 1),
    factors of brightness, contrast and saturation, shift of hue in turns, order of the four (0 to
    23, an index of pixel_operations.ORDERS), grey (0 or 1), sigma (0: no blur), solarised (0 or 1).
    For one channel saturation, hue and grey have no effect.

    Actions (A = 9): [top, left, height, width], [brightness, contrast, saturation, hue], [sigma]. A
    relative action is the difference. No action contains mirroring, order, grey and solarising.
    `action_norm` sets the units:

    - "fixed": crop / image_size, factors - 1, hue, sigma / 2.
    - "none": the units of the parameters.
    - "legacy_l2_views", as published: each column is divided by its L2 norm over the V views of the
      sequence, including the target. Every action, also between observed views, therefore contains
      information on the target's parameters, and its scale depends on V. Use it only for comparison
      with published runs. `absolute` and `relative` do not have the whole sequence and return the
      units of "none".
    """

    name = "augment"
    param_dim = 13
    action_dim = 9
    draws_per_view = 2 * TRIES + 13

    def __init__(self, *, image_size: int = 32, action_norm: str = "fixed", **options: Any) -> None:
        super().__init__(**options)
        if len(self.mean) not in (1, 3):
            raise UserError(
                f"dataset.views=augment: needs images of 1 or 3 channels, not {len(self.mean)}"
            )
        self.image_size = image_size
        self.action_norm = choice("action_norm", action_norm, ("fixed", "legacy_l2_views", "none"))
        self.kernel = 2 * max(1, round((image_size - 10) / 20)) + 1
        self.action_slices = {"crop": slice(0, 4), "jitter": slice(4, 8), "blur": slice(8, 9)}
        self._tables: dict[torch.device, Tensor] = {}

    @property
    def identity(self) -> tuple[float, ...]:
        size = self.image_size
        return (0.0, 0.0, size, size, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    def parameters(self, u: Tensor, maps: Tensor | None = None) -> Tensor:
        """Maps u (..., V, draws_per_view) to parameters. The last view is drawn as the target."""
        area, ratio = u[..., :TRIES].contiguous(), u[..., TRIES : 2 * TRIES].contiguous()
        top, left, mirror, jittered, *factors, order, grey, blurred, sigma, solarised = u[
            ..., 2 * TRIES :
        ].unbind(-1)
        height, width = self._crop_size(area, ratio)
        neutral = constant((1.0, 1.0, 1.0, 0.0), u)
        colour = neutral + (2.0 * torch.stack(factors, -1) - 1.0) * constant(JITTER, u)
        colour = torch.where(jittered[..., None] < 0.8, colour, neutral)
        target = torch.arange(u.shape[-2], device=u.device) == u.shape[-2] - 1
        blur_p, solarise_p = (torch.where(target, p[1], p[0]) for p in (BLUR_P, SOLARISE_P))
        columns = [
            torch.floor(top * (self.image_size - height + 1)),
            torch.floor(left * (self.image_size - width + 1)),
            height,
            width,
            mirror < 0.5,
            *colour.unbind(-1),
            torch.floor(order * len(pixels.ORDERS)),
            grey < 0.2,
            torch.where(blurred < blur_p, 0.1 + 1.9 * sigma, 0.0),
            solarised < solarise_p,
        ]
        return torch.stack([c.to(u.dtype) for c in columns], dim=-1)

    def _crop_size(self, area: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
        """Returns height and width (...,) of the first of the tries (..., TRIES) that fits, or of
        the whole image."""
        size = self.image_size
        area = size**2 * (SCALE[0] + area * (SCALE[1] - SCALE[0]))
        low, high = (math.log(r) for r in RATIO)
        half = torch.exp(0.5 * (low + ratio * (high - low)))
        width, height = (
            torch.round(v).clamp_(min=1.0) for v in (area.sqrt() * half, area.sqrt() / half)
        )
        fits = (width <= size) & (height <= size)
        first = fits.to(torch.uint8).argmax(-1, keepdim=True)
        sides = (
            torch.where(fits, side, float(size)).gather(-1, first)[..., 0]
            for side in (height, width)
        )
        return next(sides), next(sides)

    def render_into(
        self, views: Tensor, images: Tensor, params: Tensor, scale: Tensor, shift: Tensor
    ) -> None:
        """Applies the operations in turn, each to all views that need it at once."""
        b, _, h, w = images.shape
        if h != self.image_size or w != self.image_size:
            raise ValueError(
                f"images must be square, {self.image_size} wide, got {tuple(images.shape)}"
            )
        if not views.numel():
            return
        p = params.flatten(0, 1)
        with torch.autocast(images.device.type, enabled=False):
            rows = self._weights(p[:, 0], p[:, 2], torch.zeros_like(p[:, 0], dtype=torch.bool))
            planes = pixels.crop(images, rows, self._weights(p[:, 1], p[:, 3], p[:, 4] > 0))
            pixels.jitter(planes, p[:, 5:9], p[:, 9].long())
            if len(planes) == 3:
                pixels.on_some(planes, p[:, 10] > 0, pixels.to_grey)
            pixels.blur(planes, p[:, 11], self.kernel)
            pixels.on_some(planes, p[:, 12] > 0, pixels.solarise)
        for channel, plane in enumerate(planes):
            torch.add(
                plane.mul_(scale[channel]).view(b, -1, h, w),
                shift[channel],
                out=views[:, :, channel],
            )

    def _weights(self, start: Tensor, length: Tensor, mirrored: Tensor) -> Tensor:
        """Returns crop_weights (N, S, S). They come from a table of all (mirrored, length, start),
        unless it would be too large."""
        size = self.image_size
        if 8 * size**4 > TABLE_BYTES:
            return pixels.crop_weights(start, length, size, mirrored)
        if start.device not in self._tables:
            mirror, lengths, starts = torch.meshgrid(
                torch.arange(2), torch.arange(1, size + 1), torch.arange(size), indexing="ij"
            )
            inside = starts + lengths <= size
            table = torch.zeros(2, size, size, size, size)
            table[inside] = pixels.crop_weights(
                starts[inside], lengths[inside], size, mirror[inside] > 0
            )
            self._tables[start.device] = sent(table.view(-1, size * size), start.device)
        row = (mirrored * size + length.long() - 1) * size + start.long()
        return self._tables[start.device].index_select(0, row).view(-1, size, size)

    def absolute(self, params: Tensor) -> Tensor:
        raw = torch.cat([params[..., part] for part in CODED], dim=-1)
        if self.action_norm != "fixed":
            return raw
        size = float(self.image_size)
        zero = constant((0, 0, 0, 0, 1, 1, 1, 0, 0), raw)
        return (raw - zero) / constant((size, size, size, size, 1, 1, 1, 1, 2), raw)

    def relative(self, params_from: Tensor, params_to: Tensor) -> Tensor:
        return self.absolute(params_to) - self.absolute(params_from)

    def absolutes_of(self, params: Tensor) -> Tensor:
        absolute = self.absolute(params)
        return normalize(absolute, dim=-2) if self.action_norm == "legacy_l2_views" else absolute

    def actions_of(self, params: Tensor) -> Tensor:
        return self.absolutes_of(params).diff(dim=-2)

    def inverse(self, actions: Tensor) -> Tensor:
        return -actions

    def compose(self, first: Tensor, then: Tensor) -> Tensor:
        return first + then
