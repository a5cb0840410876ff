"""The auxiliary loss `coding_rate`. The objective of a seq-JEPA already contains a coding rate,
whose weight these options set. For an ARC JEPA it is an auxiliary loss like the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from jepa_lab.auxiliary.contract import AuxInputs, AuxLoss, AuxOptions, FunctionLoss, SiteOptions
from jepa_lab.config.ranges import one_of
from jepa_lab.losses import LossTerms, coding_rate, normalise_features, resolve_alpha
from jepa_lab.losses.coding_rate import NORMALISE

# option -> the key of a seq-JEPA's loss that has the same meaning
OF_LOSS = {"site": "rate_target", "alpha": "alpha", "normalise": "rate_normalise"}


@dataclass(kw_only=True)
class CodingRateOptions(AuxOptions):
    """The options of the coding rate.

    In a seq-JEPA `weight` replaces loss.lambda_rate, and loss.rate_target, loss.alpha,
    loss.rate_normalise and related keys configure the rate. `site`, `alpha` and `normalise` are for
    an ARC JEPA only.
    """

    regulariser: ClassVar[str] = "coding_rate"

    # defaults, since the configurations of older runs lack these three keys
    site: Any = None
    alpha: Any = None
    normalise: str | None = None

    def refuse_tap(self, key: str) -> None:
        """Raises ValueError if `site`, `alpha` or `normalise` is set, since a seq-JEPA sets these
        in its loss."""
        for name, other in OF_LOSS.items():
            value = getattr(self, name)
            if value is not None:
                raise ValueError(
                    f"{key}.{name}={value}: only for the ARC JEPA; a seq-JEPA has loss.{other}"
                )

    def at_tap(self, key: str) -> TapRateOptions:
        """Returns the checked options for an ARC JEPA, with defaults in place of null."""
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
    """Options of the regulariser -R of one tap. `alpha` and `normalise` are as in
    jepa_lab.losses.coding_rate.

    A cosine prediction loss does not fix the scale of its rows, so without normalise=rows scale
    alone would raise the rate.
    """

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
        """Returns -R of the inputs, in nats."""
        x = normalise_features(inputs.x, self.normalise)
        return LossTerms(-coding_rate(x, resolve_alpha(self.alpha, x.shape[1], self.normalise)), {})
