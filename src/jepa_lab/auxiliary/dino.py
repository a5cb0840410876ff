"""The auxiliary loss `dino`: heads of student and teacher on z_hat and z_target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from jepa_lab.auxiliary.contract import AuxInputs, AuxLoss, SiteOptions
from jepa_lab.config.ranges import at_least, within
from jepa_lab.losses import DinoLoss, LossTerms
from jepa_lab.networks.ema import make_ema_copy
from jepa_lab.networks.prototypes import PrototypeHead


@dataclass(kw_only=True)
class DinoOptions(SiteOptions):
    """Sizes of the heads, temperatures, and the decay of the teacher's centre."""

    prototypes: int
    head_hidden: int
    bottleneck: int
    student_temp: float
    teacher_temp: float
    center_ema_decay: float

    takes_single: ClassVar[bool] = False

    def check(self, key: str) -> None:
        super().check(key)
        for name in ("prototypes", "head_hidden", "bottleneck"):
            at_least(f"{key}.{name}", getattr(self, name), 2)
        for name in ("student_temp", "teacher_temp"):
            at_least(f"{key}.{name}", getattr(self, name), 0.0, exclusive=True)
        within(f"{key}.center_ema_decay", self.center_ema_decay, 0.0, 1.0)

    def build(self, dim: int, has_ema_teacher: bool) -> AuxLoss:
        head = PrototypeHead(dim, self.prototypes, self.head_hidden, self.bottleneck)
        loss = DinoLoss(
            self.prototypes, self.student_temp, self.teacher_temp, self.center_ema_decay, hold=True
        )
        return DinoHeads(loss, head, make_ema_copy(head) if has_ema_teacher else None)


class DinoHeads(AuxLoss):
    """Computes DINO between the student's head on x and the teacher's head on y.

    The teacher's head is an EMA of the student's. If `teacher_head` is None, the student's head is
    used for both, without gradient for the teacher.
    """

    def __init__(
        self, loss: DinoLoss, student_head: nn.Module, teacher_head: nn.Module | None
    ) -> None:
        super().__init__()
        self.loss = loss
        self.student_head = student_head
        self.teacher_head = teacher_head

    def forward(self, inputs: AuxInputs) -> LossTerms:
        assert inputs.y is not None
        with torch.no_grad():
            teacher = (self.teacher_head or self.student_head)(inputs.y)
        return self.loss(self.student_head(inputs.x), teacher)

    def end_step(self, skipped: bool) -> None:
        self.loss.end_step(skipped)

    @property
    def ema_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return [] if self.teacher_head is None else [(self.teacher_head, self.student_head)]
