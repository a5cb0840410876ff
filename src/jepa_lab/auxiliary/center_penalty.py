"""The auxiliary loss `center_penalty`, which one public comparison called "DINO"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jepa_lab.auxiliary.contract import AuxInputs, AuxLoss, SiteOptions
from jepa_lab.config.ranges import within
from jepa_lab.losses import CenterPenalty, LossTerms


@dataclass(kw_only=True)
class CenterPenaltyOptions(SiteOptions):
    """A penalty on the distance from a running centre, whose decay is `center_ema_decay`."""

    center_ema_decay: float

    takes_pair: ClassVar[bool] = False

    def check(self, key: str) -> None:
        super().check(key)
        within(f"{key}.center_ema_decay", self.center_ema_decay, 0.0, 1.0)

    def build(self, dim: int, has_ema_teacher: bool) -> AuxLoss:
        return _Centered(CenterPenalty(dim, self.center_ema_decay, hold=True))


class _Centered(AuxLoss):
    def __init__(self, loss: CenterPenalty) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, inputs: AuxInputs) -> LossTerms:
        return self.loss(inputs.x)

    def end_step(self, skipped: bool) -> None:
        self.loss.end_step(skipped)
