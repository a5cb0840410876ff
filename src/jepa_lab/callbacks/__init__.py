"""Callbacks with one task each. TargetEMA and CodebookRefresh change the model. All others only
read it."""

from jepa_lab.callbacks.codebook_refresh import CodebookRefresh
from jepa_lab.callbacks.collapse import CollapseMonitor
from jepa_lab.callbacks.gates import Gates
from jepa_lab.callbacks.probes import OnlineProbes
from jepa_lab.callbacks.target_ema import TargetEMA

__all__ = ["CodebookRefresh", "CollapseMonitor", "Gates", "OnlineProbes", "TargetEMA"]
