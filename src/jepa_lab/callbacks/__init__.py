"""Callbacks: one concern each. Two act on the model (the target's average, the codebook); all others read."""

from jepa_lab.callbacks.checkpoints import Saver, WholeFiles, has_checkpoint, usable_checkpoint
from jepa_lab.callbacks.codebook_log import CodebookLog
from jepa_lab.callbacks.codebook_refresh import CodebookRefresh
from jepa_lab.callbacks.collapse import CollapseMonitor
from jepa_lab.callbacks.finite import FiniteGuard
from jepa_lab.callbacks.gates import Gates
from jepa_lab.callbacks.gradients import GradientStatistics
from jepa_lab.callbacks.probes import OnlineProbes
from jepa_lab.callbacks.progress import EpochLines
from jepa_lab.callbacks.random_state import RandomState
from jepa_lab.callbacks.rollouts import Rollouts
from jepa_lab.callbacks.seq_jepa_monitor import SeqJEPAMonitor
from jepa_lab.callbacks.stopper import Stopper
from jepa_lab.callbacks.sweeps import FactorSweeps
from jepa_lab.callbacks.target_ema import TargetEMA
from jepa_lab.callbacks.training_features import TrainingFeatures
from jepa_lab.callbacks.training_log import TrainingLog
from jepa_lab.callbacks.verdict import CurrentVerdict, StateBar, VerdictStop

__all__ = [
    "CodebookLog",
    "CodebookRefresh",
    "CollapseMonitor",
    "CurrentVerdict",
    "EpochLines",
    "FactorSweeps",
    "FiniteGuard",
    "Gates",
    "GradientStatistics",
    "OnlineProbes",
    "RandomState",
    "Rollouts",
    "Saver",
    "SeqJEPAMonitor",
    "StateBar",
    "Stopper",
    "TargetEMA",
    "TrainingFeatures",
    "TrainingLog",
    "VerdictStop",
    "WholeFiles",
    "has_checkpoint",
    "usable_checkpoint",
]
