"""Losses: pure functions of features, and thin modules over them."""

from jepa_lab.losses.barlow_twins import barlow_twins, decorrelation
from jepa_lab.losses.center import EmaCenter
from jepa_lab.losses.center_penalty import CenterPenalty
from jepa_lab.losses.coding_rate import coding_rate, normalise_features, resolve_alpha
from jepa_lab.losses.dino import DinoLoss, MismatchedSharpening
from jepa_lab.losses.info_nce import chance, info_nce, info_nce_rows, negatives, same_task
from jepa_lab.losses.prediction import best_constant_loss, cosine_prediction, skill, target_directions
from jepa_lab.losses.rate_forms import mcr2_rate, simdino_expansion
from jepa_lab.losses.rate_loss import RateLoss
from jepa_lab.losses.relational import relational, relational_published
from jepa_lab.losses.sigreg import epps_pulley, sigreg, sigreg_published
from jepa_lab.losses.terms import LossTerms, mean_terms
from jepa_lab.losses.token_invariance import (
    invariance,
    published_color,
    published_symmetry,
    published_translation,
    transform_generator,
)
from jepa_lab.losses.vicreg import variance_covariance, vicreg

__all__ = [
    "CenterPenalty",
    "DinoLoss",
    "EmaCenter",
    "LossTerms",
    "MismatchedSharpening",
    "RateLoss",
    "barlow_twins",
    "best_constant_loss",
    "chance",
    "coding_rate",
    "cosine_prediction",
    "decorrelation",
    "epps_pulley",
    "info_nce",
    "info_nce_rows",
    "invariance",
    "mcr2_rate",
    "mean_terms",
    "negatives",
    "normalise_features",
    "published_color",
    "published_symmetry",
    "published_translation",
    "relational",
    "relational_published",
    "resolve_alpha",
    "same_task",
    "sigreg",
    "sigreg_published",
    "simdino_expansion",
    "skill",
    "target_directions",
    "transform_generator",
    "variance_covariance",
    "vicreg",
]
