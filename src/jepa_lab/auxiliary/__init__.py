"""Losses beside the prediction, the arms of the group `aux`: a file each, one contract."""

from jepa_lab.auxiliary.arms import Arm, Arms
from jepa_lab.auxiliary.contract import AuxInputs, AuxLoss, AuxOptions, FunctionLoss, ProjectedOptions, SiteOptions

__all__ = ["Arm", "Arms", "AuxInputs", "AuxLoss", "AuxOptions", "FunctionLoss", "ProjectedOptions", "SiteOptions"]
