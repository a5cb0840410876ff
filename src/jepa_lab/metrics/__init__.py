"""Metrics: pure functions of features, each named after what it computes. They take tensors and
arrays of NumPy. They compute in float64 and return 0-d float64 tensors unless documented
otherwise."""

from jepa_lab.metrics.alignment import alignment, invariance_error, lidar, uniformity, within_share
from jepa_lab.metrics.codebook import (
    assignment_churn,
    code_norms,
    codebook_churn,
    dead_code_age,
    perplexity,
    quantisation_error,
    usage,
)
from jepa_lab.metrics.collapse import CollapseStatistics, collapse_metrics, view_metrics
from jepa_lab.metrics.coordinates import (
    dead_share,
    feature_std_min,
    mean_to_std_ratio,
    off_diagonal_correlation,
    top_share,
)
from jepa_lab.metrics.drift import drift, parameter_drift
from jepa_lab.metrics.prototypes import (
    Distributions,
    distribution_statistics,
    kl,
    loss_over_ln_k,
    prototype_usage,
    teacher_entropy,
)
from jepa_lab.metrics.regression import r2_per_dim
from jepa_lab.metrics.scale import feature_std, feature_std_l2, mean_norm, mean_pairwise_cosine
from jepa_lab.metrics.spectrum import (
    Spectrum,
    alpha_req,
    condition_number,
    effective_rank,
    eigenvalue_ratio,
    isotropy,
    nesum,
    participation_ratio,
    rankme,
    spectral_cliff,
    stable_rank,
)
from jepa_lab.metrics.streaming import Moments
from jepa_lab.metrics.subspace import (
    coordinate_participation,
    explained_variance,
    factor_bases,
    subspace_overlap,
)

__all__ = [
    "CollapseStatistics",
    "Distributions",
    "Moments",
    "Spectrum",
    "alignment",
    "alpha_req",
    "assignment_churn",
    "code_norms",
    "codebook_churn",
    "collapse_metrics",
    "condition_number",
    "coordinate_participation",
    "dead_code_age",
    "dead_share",
    "distribution_statistics",
    "drift",
    "effective_rank",
    "eigenvalue_ratio",
    "explained_variance",
    "factor_bases",
    "feature_std",
    "feature_std_l2",
    "feature_std_min",
    "invariance_error",
    "isotropy",
    "kl",
    "lidar",
    "loss_over_ln_k",
    "mean_norm",
    "mean_pairwise_cosine",
    "mean_to_std_ratio",
    "nesum",
    "off_diagonal_correlation",
    "parameter_drift",
    "participation_ratio",
    "perplexity",
    "prototype_usage",
    "quantisation_error",
    "r2_per_dim",
    "rankme",
    "spectral_cliff",
    "stable_rank",
    "subspace_overlap",
    "teacher_entropy",
    "top_share",
    "uniformity",
    "usage",
    "view_metrics",
    "within_share",
]
