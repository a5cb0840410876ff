"""Losses: pure functions of features, and thin modules over them."""

from jepa_lab.losses.coding_rate import RateLoss, coding_rate, normalise_features, resolve_alpha
from jepa_lab.losses.prediction import best_constant_loss, cosine_prediction, skill
from jepa_lab.losses.terms import LossTerms

__all__ = [
    "LossTerms",
    "RateLoss",
    "best_constant_loss",
    "coding_rate",
    "cosine_prediction",
    "normalise_features",
    "resolve_alpha",
    "skill",
]
