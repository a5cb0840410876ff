"""DINO (Caron et al. 2021, arXiv:2104.14294): pulls a student's distribution over prototypes
towards a teacher's.

The teacher is centred and sharpened. Centring alone would make it uniform, sharpening alone
one-hot.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.losses.center import EmaCenter
from jepa_lab.losses.rows import at_least_float32
from jepa_lab.losses.terms import LossTerms


class DinoLoss(EmaCenter):
    """Maps student (n, dim) and teacher (n, dim) to the cross-entropy between their distributions.

    The student's distribution is softmax(student / student_temp). The teacher's is
    softmax((teacher - center) / teacher_temp) and gets no gradient. The terms are cross_entropy,
    teacher_entropy and kl. In training mode the buffer `center` (dim,) moves towards the mean of
    the teacher's rows after it was used; for `hold` see EmaCenter. Computed in float32 or better,
    outside autocast. Raises ValueError for other shapes.
    """

    def __init__(
        self,
        dim: int,
        student_temp: float = 0.1,
        teacher_temp: float = 0.04,
        center_ema_decay: float = 0.9,
        hold: bool = False,
    ) -> None:
        if min(student_temp, teacher_temp) <= 0 or not 0 <= center_ema_decay <= 1:
            given = f"{student_temp}, {teacher_temp}, {center_ema_decay}"
            raise ValueError(f"temperatures must be above 0 and the decay in [0, 1], got {given}")
        super().__init__(dim, center_ema_decay, hold)
        self.student_temp = student_temp
        self.teacher_temp = teacher_temp
        self.teacher_probabilities: Tensor | None = None  # (n, dim) of the last forward

    def forward(self, student: Tensor, teacher: Tensor) -> LossTerms:
        if (
            student.shape != teacher.shape
            or student.ndim != 2
            or student.shape[1] != len(self.center)
            or not len(student)
        ):
            shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
            raise ValueError(f"expected two (n, {len(self.center)}) tensors, got {shapes}")
        with torch.autocast(student.device.type, enabled=False):
            student, teacher = at_least_float32(student), at_least_float32(teacher.detach())
            p = self.sharpen(teacher)
            cross_entropy = -(p * F.log_softmax(student / self.student_temp, dim=-1)).sum(-1).mean()
            entropy = torch.special.entr(p).sum(-1).mean()
        self.teacher_probabilities = p
        if self.training:
            self.collect(teacher)
        terms = {
            "cross_entropy": cross_entropy,
            "teacher_entropy": entropy,
            "kl": cross_entropy - entropy,
        }
        return LossTerms(cross_entropy, terms)

    def sharpen(self, teacher: Tensor) -> Tensor:
        """Returns the teacher's distributions (n, dim), centred by the current centre, without
        gradient."""
        return torch.softmax(
            (at_least_float32(teacher.detach()) - self.center) / self.teacher_temp, dim=-1
        )


class MismatchedSharpening(nn.Module):
    """The published "sharpening", kept to reproduce its numbers: 1 - cos(z_hat,
    softmax((z_target - center) / temp)).

    It compares an unconstrained vector with a nearly one-hot, non-negative one. The centre is moved
    before it is used. Both inputs are (n, dim). It has no terms.
    """

    center: Tensor

    def __init__(self, dim: int, temp: float = 0.04, center_ema_decay: float = 0.9) -> None:
        super().__init__()
        self.temp = temp
        self.center_ema_decay = center_ema_decay
        self.register_buffer("center", torch.zeros(dim))

    def forward(self, z_hat: Tensor, z_target: Tensor) -> LossTerms:
        z_hat, z_target = at_least_float32(z_hat), at_least_float32(z_target.detach())
        if self.training:
            with torch.no_grad():
                self.center.lerp_(z_target.mean(dim=0), 1.0 - self.center_ema_decay)
        return LossTerms(
            1.0 - F.cosine_similarity(z_hat, self.sharpen(z_target), dim=-1).mean(), {}
        )

    def sharpen(self, z_target: Tensor) -> Tensor:
        """Returns the vectors (n, dim) that z_hat is compared with, without gradient."""
        rows = at_least_float32(z_target.detach())
        return torch.softmax((rows - self.center) / self.temp, dim=-1)
