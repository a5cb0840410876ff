"""The auxiliary loss `barlow_twins`."""

from __future__ import annotations

from dataclasses import dataclass

from jepa_lab.auxiliary.contract import AuxInputs, AuxLoss, FunctionLoss, ProjectedOptions
from jepa_lab.config.ranges import at_least, unset
from jepa_lab.losses import LossTerms, barlow_twins, decorrelation

LAMBDA_PARAM = 0.0051  # the default for the pair


@dataclass(kw_only=True)
class BarlowTwinsOptions(ProjectedOptions):
    """Options of Barlow Twins for the pair, or of its decorrelation term for one tap. The latter
    has no lambda_param."""

    lambda_param: float | None
    scale_loss: float

    def check(self, key: str) -> None:
        super().check(key)
        at_least(f"{key}.lambda_param", self.lambda_param, 0.0)
        at_least(f"{key}.scale_loss", self.scale_loss, 0.0, exclusive=True)
        if self.paired:
            self.lambda_param = LAMBDA_PARAM if self.lambda_param is None else self.lambda_param
        else:
            reason = (
                f"without effect at {key}.site={self.site}, since one tap has no second term to"
                " weigh"
            )
            unset(f"{key}.lambda_param", self.lambda_param, reason)

    def build(self, dim: int, has_ema_teacher: bool) -> AuxLoss:
        return FunctionLoss(self.of)

    def of(self, inputs: AuxInputs) -> LossTerms:
        """Returns the loss of the inputs."""
        if inputs.y is None:
            return decorrelation(inputs.x, self.scale_loss)
        assert self.lambda_param is not None
        return barlow_twins(inputs.x, inputs.y, self.lambda_param, self.scale_loss)
