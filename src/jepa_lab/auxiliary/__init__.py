"""Auxiliary losses beside the prediction, the configuration group `aux`: one file each, one
contract."""

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
