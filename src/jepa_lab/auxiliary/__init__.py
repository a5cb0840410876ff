"""Losses beside the prediction, the arms of the group `aux`: a file each, one contract."""

from jepa_lab.auxiliary.contract import (
    AuxInputs,
    AuxLoss,
    AuxOptions,
    FunctionLoss,
    ProjectedOptions,
    SiteOptions,
)
from jepa_lab.auxiliary.terms import AuxTerm, AuxTerms

__all__ = [
    "AuxInputs",
    "AuxLoss",
    "AuxOptions",
    "AuxTerm",
    "AuxTerms",
    "FunctionLoss",
    "ProjectedOptions",
    "SiteOptions",
]
