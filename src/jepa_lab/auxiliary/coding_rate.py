"""The arm `coding_rate`: the one coding-rate regulariser, chosen and weighted as an arm."""

from __future__ import annotations

from dataclasses import dataclass

from jepa_lab.auxiliary.contract import AuxOptions


@dataclass(kw_only=True)
class CodingRateOptions(AuxOptions):
    """Its weight takes the place of loss.lambda_rate; where it acts and what it computes is in loss.rate_target,
    loss.alpha, loss.rate_normalise and their like."""
