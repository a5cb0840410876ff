"""The base class of all view groups, which draw and render transformations and compute actions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from jepa_lab.data.draws import uniform
from jepa_lab.data.views.factor_sweeps import FactorSweep
from jepa_lab.data.views.sequences import SequenceBatch
from jepa_lab.devices import constant, sent
from jepa_lab.errors import UserError

FIRST_VIEWS = ("reference", "random")
CHUNK_VALUES = 1 << 19  # view values rendered at a time on a CPU: 2 MiB


def chunk_size(views: Tensor) -> int:
    """Returns how many sequences of views (B, V, C, H, W) are rendered at a time: on a CPU as many
    as fit into the cache, elsewhere all."""
    if views.device.type != "cpu":
        return max(1, len(views))
    return max(1, CHUNK_VALUES * len(views) // max(1, views.numel()))


class ViewGroup(ABC):
    """Draws transformation parameters and renders V views of every image of a batch at once, on the
    images' device.

    An action is the code of the change from one view to another. `absolute` codes the parameters of
    a single view in the same units. With `first_view="reference"` the first view is the untouched
    image. With `"random"` it is drawn like the others. Subclasses set the dimensions and implement
    the abstract methods, without loops over samples.
    """

    name: str
    action_dim: int
    param_dim: int
    action_slices: Mapping[str, slice]
    draws_per_view: int
    renderings: int = 1  # renderings per image; its channels hold them one after another
    whole_batch: bool = False  # render_into takes a whole batch and makes the chunks itself

    def __init__(
        self,
        *,
        n_views: int,
        mean: Sequence[float],
        std: Sequence[float],
        first_view: str = "reference",
    ) -> None:
        if n_views < 2:
            raise UserError(
                f"dataset.n_views={n_views}: a sequence needs at least 2 views (one observed, one"
                " target)"
            )
        choice("first_view", first_view, FIRST_VIEWS)
        if len(mean) != len(std) or not len(mean) or any(s <= 0 for s in std):
            raise UserError(
                f"dataset mean/std: one value per channel and std above 0, got mean={list(mean)}"
                f" std={list(std)}"
            )
        self.n_views = n_views
        self.first_view = first_view
        self.mean = tuple(float(m) for m in mean)
        self.std = tuple(float(s) for s in std)
        self._constants: dict[torch.device, tuple[Tensor, Tensor]] = {}

    @property
    @abstractmethod
    def identity(self) -> tuple[float, ...]:
        """The parameters (P,) that leave an image unchanged."""

    @abstractmethod
    def parameters(self, u: Tensor, maps: Tensor | None = None) -> Tensor:
        """Maps uniform numbers (..., V, draws_per_view) in [0, 1) to parameters (..., V, P). The
        last view is the target. Only some groups use maps."""

    @abstractmethod
    def render_into(
        self, views: Tensor, images: Tensor, params: Tensor, scale: Tensor, shift: Tensor
    ) -> None:
        """Writes uint8 images, transformed by params (B, V, P), into views (B, V, C, H, W) as
        `pixel * scale + shift`."""

    @abstractmethod
    def absolute(self, params: Tensor) -> Tensor:
        """Returns the action code (..., A) of the parameters (..., P) themselves."""

    @abstractmethod
    def relative(self, params_from: Tensor, params_to: Tensor) -> Tensor:
        """Returns the action (..., A) from one set of parameters (..., P) to another."""

    @abstractmethod
    def inverse(self, actions: Tensor) -> Tensor:
        """Returns the inverse actions: `inverse(relative(a, b)) == relative(b, a)`, both (...,
        A)."""

    @abstractmethod
    def compose(self, first: Tensor, then: Tensor) -> Tensor:
        """Returns the action of two in succession: `compose(relative(a, b), relative(b, c)) ==
        relative(a, c)`, all (..., A)."""

    def absolutes_of(self, params: Tensor) -> Tensor:
        """Returns the action codes (B, V, A) of all views of sequences, params (B, V, P)."""
        return self.absolute(params)

    def actions_of(self, params: Tensor) -> Tensor:
        """Returns the actions (B, V-1, A) from each view of a sequence to the next, params (B, V,
        P)."""
        return self.relative(params[:, :-1], params[:, 1:])

    def sweeps(self) -> list[FactorSweep]:
        """Returns the factor sweeps, or [] for views without factors on a grid."""
        return []

    def view_size(self, h: int, w: int) -> tuple[int, int]:
        """Returns height and width of the views of images of h x w pixels."""
        return h, w

    def maps(self, images: Tensor) -> Tensor | None:
        """Returns the maps that `draw` needs for images (B, C, H, W) without maps of their own.
        Most groups need none and return None."""
        return None

    def draw(
        self,
        index: Tensor,
        *,
        seed: int,
        split: str,
        epoch: int,
        first_view: str | None = None,
        maps: Tensor | None = None,
    ) -> Tensor:
        """Returns parameters (B, V, P) of the samples `index` (B,) int64.

        `first_view` overrides the group's own. `maps` (B, ...) are the densities (B, H, W) of
        groups that depend on the image content, or the latents of renderings.

        Outside "train" the epoch is ignored, so that evaluation views never change. View v of a
        sample has the same parameters for every V (except draws that are specific to the target),
        and whether or not the first view is the reference.
        """
        epoch = epoch if split == "train" else 0
        u = uniform(index, self.n_views * self.draws_per_view, seed=seed, split=split, epoch=epoch)
        params = self.parameters(u.view(len(index), self.n_views, self.draws_per_view), maps)
        if (first_view or self.first_view) == "reference":
            params[:, 0] = constant(tuple(self.identity), params)
        return params

    def __call__(
        self,
        images: Tensor,
        labels: Tensor | None,
        index: Tensor,
        *,
        seed: int,
        split: str,
        epoch: int,
        first_view: str | None = None,
        maps: Tensor | None = None,
    ) -> SequenceBatch:
        """Returns the sequences of a batch of uint8 images (B, C, H, W), which are at positions
        `index` (B,) of a source. `maps` (B, ...) are the source's saliency densities or latents."""
        maps = self.maps(images) if maps is None else maps
        params = self.draw(
            index, seed=seed, split=split, epoch=epoch, first_view=first_view, maps=maps
        )
        return SequenceBatch(
            views=self.render(images, params),
            actions=self.actions_of(params),
            params=params,
            absolute=self.absolutes_of(params),
            labels=labels,
            index=index,
        )

    def reverse(self, batch: SequenceBatch) -> SequenceBatch:
        """Returns the views in reverse order with inverted actions. The first view becomes the
        target."""
        return SequenceBatch(
            views=batch.views.flip(1),
            actions=self.inverse(batch.actions).flip(1),
            params=batch.params.flip(1),
            absolute=batch.absolute.flip(1),
            labels=batch.labels,
            index=batch.index,
        )

    def render(self, images: Tensor, params: Tensor) -> Tensor:
        """Returns views (B, V, C, H, W), float32 and normalised, of uint8 images (B, C, H, W) with
        params (B, V, P).

        V may differ from n_views. On a CPU the batch is rendered in chunks whose intermediate
        results fit into the cache. This does not change the values. Raises ValueError for another
        dtype or shape.
        """
        n_channels, b = len(self.mean), len(images)
        held = n_channels * self.renderings
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != held:
            raise ValueError(
                f"images must be uint8 (B, {held}, H, W), got {images.dtype} {tuple(images.shape)}"
            )
        if params.ndim != 3 or len(params) != b or params.shape[2] != self.param_dim:
            raise ValueError(
                f"params must be ({b}, V, {self.param_dim}), got {tuple(params.shape)}"
            )
        scale, shift = self._normaliser(images.device)
        size = self.view_size(images.shape[2], images.shape[3])
        views = torch.empty(b, params.shape[1], n_channels, *size, device=images.device)
        step = max(1, b) if self.whole_batch else chunk_size(views)
        for start in range(0, b, step):
            chunk = slice(start, start + step)
            self.render_into(views[chunk], images[chunk], params[chunk], scale, shift)
        return views

    def _normaliser(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Returns (scale, shift), (C, 1, 1) each: `pixel * scale + shift` is the normalised value
        of a uint8 pixel."""
        if device not in self._constants:
            mean, std = torch.tensor([self.mean, self.std], dtype=torch.float64).view(2, -1, 1, 1)
            scale, shift = 1.0 / (255.0 * std), -mean / std
            self._constants[device] = sent(scale.float(), device), sent(shift.float(), device)
        return self._constants[device]


def choice(option: str, value: Any, allowed: Sequence[Any]) -> Any:
    """Returns the value if it is allowed. Otherwise raises UserError with the allowed values."""
    if value not in allowed:
        raise UserError(
            f"dataset.{option}={value}: must be one of {', '.join(str(a) for a in allowed)}"
        )
    return value


def interval(
    option: str, value: Sequence[float], *, above: float = -float("inf")
) -> tuple[float, float]:
    """Returns (low, high) of a two-element range. Raises UserError unless above < low <= high."""
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError):
        raise UserError(f"dataset.{option}={value}: must be two numbers, [low, high]") from None
    if not above < low <= high < float("inf"):
        bound = "" if above == -float("inf") else f" and low above {above:g}"
        raise UserError(
            f"dataset.{option}=[{low:g}, {high:g}]: needs finite numbers, low <= high{bound}"
        )
    return low, high
