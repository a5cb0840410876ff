"""Metrics: pure functions of features, each named by what it computes; 0-d float64 unless said."""

from jepa_lab.metrics.alignment import alignment, invariance_error, lidar, uniformity, within_share
from jepa_lab.metrics.codebook import perplexity, usage
from jepa_lab.metrics.collapse import collapse_metrics, view_metrics
from jepa_lab.metrics.regression import r2_per_dim
from jepa_lab.metrics.scale import feature_std, feature_std_l2, mean_norm, mean_pairwise_cosine
from jepa_lab.metrics.spectrum import (
    Spectrum,
    alpha_req,
    condition_number,
    effective_rank,
    eigenvalue_ratio,
    isotropy,
    participation_ratio,
    rankme,
    spectral_cliff,
    stable_rank,
)
from jepa_lab.metrics.subspace import coordinate_participation, explained_variance, factor_bases, subspace_overlap

__all__ = [
    "Spectrum",
    "alignment",
    "alpha_req",
    "collapse_metrics",
    "condition_number",
    "coordinate_participation",
    "effective_rank",
    "eigenvalue_ratio",
    "explained_variance",
    "factor_bases",
    "feature_std",
    "feature_std_l2",
    "invariance_error",
    "isotropy",
    "lidar",
    "mean_norm",
    "mean_pairwise_cosine",
    "participation_ratio",
    "perplexity",
    "r2_per_dim",
    "rankme",
    "spectral_cliff",
    "stable_rank",
    "subspace_overlap",
    "uniformity",
    "usage",
    "view_metrics",
    "within_share",
]
