"""The auxiliary loss `vicreg`."""

from __future__ import annotations

from dataclasses import dataclass

from jepa_lab.auxiliary.contract import AuxInputs, AuxLoss, FunctionLoss, ProjectedOptions
from jepa_lab.config.ranges import at_least, unset
from jepa_lab.losses import LossTerms, variance_covariance, vicreg

SIM_COEFF = 1.0  # the default for the pair


@dataclass(kw_only=True)
class VicregOptions(ProjectedOptions):
    """Options of VICReg for the pair, or of its variance-covariance regulariser for one tap. The
    latter has no sim_coeff."""

    sim_coeff: float | None
    std_coeff: float
    cov_coeff: float
    eps: float

    def check(self, key: str) -> None:
        super().check(key)
        for name in ("sim_coeff", "std_coeff", "cov_coeff"):
            at_least(f"{key}.{name}", getattr(self, name), 0.0)
        at_least(f"{key}.eps", self.eps, 0.0, exclusive=True)
        if self.paired:
            self.sim_coeff = SIM_COEFF if self.sim_coeff is None else self.sim_coeff
        else:
            reason = (
                f"without effect at {key}.site={self.site}, since one tap has nothing to be"
                " similar to"
            )
            unset(f"{key}.sim_coeff", self.sim_coeff, reason)

    def build(self, dim: int, has_ema_teacher: bool) -> AuxLoss:
        return FunctionLoss(self.of)

    def of(self, inputs: AuxInputs) -> LossTerms:
        """Returns the loss of the inputs."""
        if inputs.y is None:
            return variance_covariance(inputs.x, self.std_coeff, self.cov_coeff, self.eps)
        assert self.sim_coeff is not None
        return vicreg(inputs.x, inputs.y, self.sim_coeff, self.std_coeff, self.cov_coeff, self.eps)
