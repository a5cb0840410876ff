"""A learned temperature that stays within bounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jepa_lab.errors import UserError

BOUNDS = ("soft", "clamp")
HAIR = 1e-3  # of the log range: how far inside an initial value on a bound is put
AT_A_BOUND = 1e-2  # of the log range


class Temperature(nn.Module):
    """() -> the temperature, a 0-d float32 tensor between `min` and `max`.

    bound "soft": ln tau = ln min + ln(max / min) * sigmoid(raw). It starts, and in training stays,
    a thousandth of the log range away from either bound, where there still is a gradient to come
    back by. "clamp": clamp(exp(raw), min, max), as published: outside of the bounds the gradient is
    zero, and a temperature that left them is stuck. Not to `learn`, it is init, whatever the
    bounds. UserError for min >= max, an init outside of them, and a bound of another name.
    """

    def __init__(
        self,
        init: float,
        min: float = 0.03,
        max: float = 0.3,
        *,
        learn: bool = True,
        bound: str = "soft",
    ) -> None:
        super().__init__()
        if bound not in BOUNDS:
            raise UserError(f"loss.temperature.bound={bound}: one of {', '.join(BOUNDS)}")
        if not 0 < init < math.inf:
            raise UserError(f"loss.temperature.init={init}: must be above 0")
        if learn and not 0 < min < max < math.inf:
            raise UserError(
                f"loss.temperature.min={min}: must be above 0 and below loss.temperature.max={max}"
            )
        if learn and not min <= init <= max:
            raise UserError(
                f"loss.temperature.init={init}: must lie between min={min} and max={max}"
            )
        self.bound = bound if learn else "none"
        self.min, self.max = min, max
        if bound == "soft" and learn:
            share = math.log(init / min) / math.log(max / min)
            share = HAIR if share < HAIR else 1 - HAIR if share > 1 - HAIR else share
            self.raw = nn.Parameter(torch.tensor(_logit(share)))
        else:
            self.raw = nn.Parameter(torch.tensor(math.log(init)), requires_grad=learn)

    def forward(self) -> Tensor:
        if self.bound == "soft" and self.training:
            # a sigmoid's own gradient vanishes: in float32 it is 0 from 17 on
            with torch.no_grad():
                self.raw.clamp_(_logit(HAIR), _logit(1 - HAIR))
        raw = self.raw.float()
        if self.bound == "soft":
            return self.min * torch.exp(math.log(self.max / self.min) * torch.sigmoid(raw))
        return raw.exp().clamp(self.min, self.max) if self.bound == "clamp" else raw.exp()

    @property
    def clamped(self) -> Tensor:
        """Whether it stands at a bound, a 0-d bool tensor; soft: within 1 % of the log range of
        one. Never, if it is not learned."""
        with torch.no_grad():
            if self.bound == "soft":
                share = torch.sigmoid(self.raw.float())
                return (share <= AT_A_BOUND) | (share >= 1 - AT_A_BOUND)
            if self.bound == "clamp":
                tau = self.raw.float().exp()
                return (tau <= self.min) | (tau >= self.max)
            return torch.zeros((), dtype=torch.bool, device=self.raw.device)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
