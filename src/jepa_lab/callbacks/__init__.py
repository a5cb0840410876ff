"""Callbacks: one concern each. Two act on the model (the target's average, later the codebook); all others read."""

from jepa_lab.callbacks.checkpoints import RandomState, Saver
from jepa_lab.callbacks.collapse import CollapseMonitor
from jepa_lab.callbacks.probes import OnlineProbes
from jepa_lab.callbacks.progress import EpochLines
from jepa_lab.callbacks.target_ema import TargetEMA
from jepa_lab.callbacks.training_log import TrainingLog

__all__ = ["CollapseMonitor", "EpochLines", "OnlineProbes", "RandomState", "Saver", "TargetEMA", "TrainingLog"]
