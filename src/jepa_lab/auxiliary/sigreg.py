"""The auxiliary loss `sigreg`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jepa_lab.auxiliary.contract import AuxInputs, AuxLoss, FunctionLoss, ProjectedOptions
from jepa_lab.config.ranges import at_least
from jepa_lab.losses import LossTerms, sigreg


@dataclass(kw_only=True)
class SigregOptions(ProjectedOptions):
    """`n_slices` is the number of random directions in which a tap is compared with N(0, 1). The
    directions change at every step."""

    n_slices: int

    takes_pair: ClassVar[bool] = False
    regulariser: ClassVar[str] = "sigreg"

    def check(self, key: str) -> None:
        super().check(key)
        at_least(f"{key}.n_slices", self.n_slices, 1)

    def build(self, dim: int, has_ema_teacher: bool) -> AuxLoss:
        return FunctionLoss(self.of)

    def of(self, inputs: AuxInputs) -> LossTerms:
        """Returns the loss of the inputs."""
        return LossTerms(sigreg(inputs.x, inputs.step, self.n_slices), {})
