"""The coding rate as a regulariser."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jepa_lab.losses.coding_rate import coding_rate, normalise_features, resolve_alpha
from jepa_lab.losses.rate_forms import mcr2_rate, simdino_expansion

TARGETS = ("z_agg", "z", "both")
FORMS = ("logdet", "mcr2", "simdino")


class RateLoss(nn.Module):
    """-R of z_agg, of all observed z, or of both (their sum): the coding-rate regulariser without its weight.

    `target`: z_agg | z | both; `alpha`, `normalise`: see resolve_alpha and normalise_features; `center` subtracts the
    mean over the batch. `form`: logdet is R; mcr2 and simdino are the released codes' (eps .5, alpha not read; simdino
    brings rows to length 1 itself). ValueError for an unknown choice.
    """

    def __init__(
        self,
        target: str = "z_agg",
        alpha: float | str = 1.0,
        normalise: str = "none",
        center: bool = False,
        form: str = "logdet",
    ) -> None:
        super().__init__()
        if target not in TARGETS:
            raise ValueError(f"target is one of {', '.join(TARGETS)}, got {target!r}")
        if form not in FORMS:
            raise ValueError(f"form is one of {', '.join(FORMS)}, got {form!r}")
        resolve_alpha(alpha, 1, normalise)  # raises here rather than in the first step
        self.target = target
        self.alpha = alpha
        self.normalise = normalise
        self.center = center
        self.form = form

    def forward(self, z_agg: Tensor, z: Tensor) -> Tensor:
        """z_agg (B, Da), z (B, M, D) -> scalar. The B * M views of z are rows of one matrix."""
        loss = z_agg.new_zeros((), dtype=torch.float32)
        if self.target in ("z_agg", "both"):
            loss = loss - self._rate(z_agg)
        if self.target in ("z", "both"):
            loss = loss - self._rate(z.flatten(0, 1))
        return loss

    def _rate(self, z: Tensor) -> Tensor:
        z = normalise_features(z, self.normalise, self.center)
        if self.form == "logdet":
            return coding_rate(z, resolve_alpha(self.alpha, z.shape[1], self.normalise), self.center)
        z = z - z.mean(dim=0) if self.center else z
        return mcr2_rate(z) if self.form == "mcr2" else simdino_expansion(z)
