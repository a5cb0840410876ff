"""The arm `coding_rate`: of a seq-JEPA the one coding-rate regulariser, weighted as an arm; of an
ARC JEPA, whose objective has none, an arm like the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from jepa_lab.auxiliary.contract import AuxInputs, AuxLoss, AuxOptions, FunctionLoss, SiteOptions
from jepa_lab.config.ranges import one_of
from jepa_lab.losses import LossTerms, coding_rate, normalise_features, resolve_alpha
from jepa_lab.losses.coding_rate import NORMALISE

OF_LOSS = {
    "site": "rate_target",
    "alpha": "alpha",
    "normalise": "rate_normalise",
}  # where a seq-JEPA says the same


@dataclass(kw_only=True)
class CodingRateOptions(AuxOptions):
    """In a seq-JEPA its weight takes the place of loss.lambda_rate; where it acts and what it
    computes is in loss.rate_target, loss.alpha, loss.rate_normalise and their like. The other keys
    are an ARC JEPA's."""

    regulariser: ClassVar[str] = "coding_rate"

    site: Any = None  # these three are younger than runs that are read back
    alpha: Any = None
    normalise: str | None = None

    def refuse_tap(self, key: str) -> None:
        """ValueError for a key that a seq-JEPA has in its loss."""
        for name, other in OF_LOSS.items():
            value = getattr(self, name)
            if value is not None:
                raise ValueError(
                    f"{key}.{name}={value}: of the ARC JEPA; a seq-JEPA has loss.{other}"
                )

    def at_tap(self, key: str) -> TapRateOptions:
        """The options of the arm that an ARC JEPA trains with, checked; what null stands for is
        written in."""
        options = TapRateOptions(
            _target_=self._target_,
            weight=self.weight,
            ramp=self.ramp,
            site=self.site or "z_hat",
            alpha="auto" if self.alpha is None else self.alpha,
            normalise=self.normalise or "rows",
        )
        options.check(key)
        return options


@dataclass(kw_only=True)
class TapRateOptions(SiteOptions):
    """-R of a tap: `alpha` and `normalise` as in jepa_lab.losses.coding_rate. A prediction of
    directions leaves the scale of its rows free, so without normalise=rows the rate would be bought
    by scale."""

    alpha: Any
    normalise: str

    takes_pair: ClassVar[bool] = False

    def check(self, key: str) -> None:
        super().check(key)
        one_of(f"{key}.normalise", self.normalise, list(NORMALISE))
        try:
            self.alpha = "auto" if self.alpha == "auto" else float(self.alpha)
            resolve_alpha(self.alpha, 1, self.normalise)
        except (TypeError, ValueError):
            raise ValueError(
                f"{key}.alpha={self.alpha}: expected a number above 0, or auto"
            ) from None

    def build(self, dim: int, has_ema_teacher: bool) -> AuxLoss:
        return FunctionLoss(self.of)

    def of(self, inputs: AuxInputs) -> LossTerms:
        """-R of these inputs, in nats."""
        x = normalise_features(inputs.x, self.normalise)
        return LossTerms(-coding_rate(x, resolve_alpha(self.alpha, x.shape[1], self.normalise)), {})
