"""One arm of the group `aux` in training: its projector, its loss, its weight."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from jepa_lab.auxiliary.contract import AuxInputs, SiteOptions
from jepa_lab.losses import LossTerms


class Arm(nn.Module):
    """Reads the taps of its site, projects their rows, and gives what the loss says of them, without the weight.

    `widths`: of every tap; `averaged`: there is an EMA teacher. The rows of both taps of a pair go through one
    projector, in a call each.
    """

    def __init__(self, options: SiteOptions, widths: Mapping[str, int], averaged: bool) -> None:
        super().__init__()
        self.options = options
        self.projector, width = options.projector(widths[options.reads[0]])
        self.loss = options.build(width, averaged)

    def forward(self, taps: Mapping[str, Tensor], step: int) -> LossTerms:
        """taps by name, (..., d) each; leading dimensions are rows alike."""
        rows = [self._projected(taps[name].flatten(0, -2)) for name in self.options.reads]
        return self.loss(AuxInputs(taps, rows[0], rows[1] if len(rows) > 1 else None, step))

    def _projected(self, rows: Tensor) -> Tensor:
        return rows if self.projector is None else self.projector(rows)
