"""A batch of view sequences, the output of a view group and the input of a model."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class SequenceBatch:
    """Views of the same images, and the transformations from each view to the next.

    - views: (B, V, C, H, W) float32, normalised
    - actions: (B, V-1, A), relative, from view i to view i+1
    - params: (B, V, P), absolute parameters in their own units
    - absolute: (B, V, A), the absolute parameters in the action code
    - labels: (B,) int64, or None for unlabelled images
    - index: (B,) int64, the position of each image in its source
    """

    views: Tensor
    actions: Tensor
    params: Tensor
    absolute: Tensor
    labels: Tensor | None
    index: Tensor

    @property
    def n_views(self) -> int:
        """V, the number of observed views plus the target."""
        return self.views.shape[1]

    @property
    def observed(self) -> Tensor:
        """All views but the last, (B, V-1, C, H, W)."""
        return self.views[:, :-1]

    @property
    def target(self) -> Tensor:
        """The last view, (B, C, H, W)."""
        return self.views[:, -1]
