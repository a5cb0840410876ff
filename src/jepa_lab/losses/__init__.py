"""Losses: pure functions of features, and modules that wrap them."""

from jepa_lab.losses.barlow_twins import barlow_twins, decorrelation
from jepa_lab.losses.center import EmaCenter
from jepa_lab.losses.center_penalty import CenterPenalty
from jepa_lab.losses.coding_rate import (
    RateLoss,
    coding_rate,
    mcr2_rate,
    normalise_features,
    resolve_alpha,
    simdino_expansion,
)
from jepa_lab.losses.dino import DinoLoss, MismatchedSharpening
from jepa_lab.losses.info_nce import chance, info_nce, info_nce_rows, negatives, same_task
from jepa_lab.losses.prediction import (
    constant_baseline_loss,
    cosine_prediction,
    skill,
    target_directions,
)
from jepa_lab.losses.sigreg import epps_pulley, sigreg, sigreg_published
from jepa_lab.losses.terms import LossTerms, mean_terms
from jepa_lab.losses.vicreg import variance_covariance, vicreg

__all__ = [
    "CenterPenalty",
    "DinoLoss",
    "EmaCenter",
    "LossTerms",
    "MismatchedSharpening",
    "RateLoss",
    "barlow_twins",
    "chance",
    "coding_rate",
    "constant_baseline_loss",
    "cosine_prediction",
    "decorrelation",
    "epps_pulley",
    "info_nce",
    "info_nce_rows",
    "mcr2_rate",
    "mean_terms",
    "negatives",
    "normalise_features",
    "resolve_alpha",
    "same_task",
    "sigreg",
    "sigreg_published",
    "simdino_expansion",
    "skill",
    "target_directions",
    "variance_covariance",
    "vicreg",
]
