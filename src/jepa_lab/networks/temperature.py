"""A learned temperature that stays within bounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jepa_lab.errors import UserError

BOUNDS = ("soft", "clamp")
# Shares of the log range: the least distance of a soft temperature from a bound, and the distance
# below which it counts as clamped.
MARGIN = 1e-3
AT_A_BOUND = 1e-2


class Temperature(nn.Module):
    """A module without inputs. It returns the temperature, a 0-d float32 tensor between `min` and
    `max`.

    - bound "soft": ln tau = ln min + ln(max / min) * sigmoid(raw). In training tau stays at least a
      thousandth of the log range away from either bound, also at the start, so that it always has a
      gradient.
    - bound "clamp": tau = clamp(exp(raw), min, max), as published. Outside the bounds the gradient
      is zero, so a temperature that has left them never comes back.

    With learn=False the temperature is `init`, and the bounds are ignored. Raises UserError for min
    >= max, an init outside the bounds, and an unknown bound.
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
            share = MARGIN if share < MARGIN else 1 - MARGIN if share > 1 - MARGIN else share
            self.raw = nn.Parameter(torch.tensor(_logit(share)))
        else:
            self.raw = nn.Parameter(torch.tensor(math.log(init)), requires_grad=learn)

    def forward(self) -> Tensor:
        if self.bound == "soft" and self.training:
            # the gradient of a sigmoid vanishes: in float32 it is 0 for raw >= 17
            with torch.no_grad():
                self.raw.clamp_(_logit(MARGIN), _logit(1 - MARGIN))
        raw = self.raw.float()
        if self.bound == "soft":
            return self.min * torch.exp(math.log(self.max / self.min) * torch.sigmoid(raw))
        return raw.exp().clamp(self.min, self.max) if self.bound == "clamp" else raw.exp()

    @property
    def clamped(self) -> Tensor:
        """Whether the temperature is at a bound, a 0-d bool tensor. For "soft" this means within 1%
        of the log range of a bound. It is never true with learn=False."""
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
