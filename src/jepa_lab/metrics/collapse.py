"""What the collapse monitor measures of one tap: the families of this package, sharing their decompositions."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.metrics import scale, spectrum
from jepa_lab.metrics.alignment import alignment, invariance_error, lidar, uniformity, within_share

UNIFORMITY_ROWS = 512  # it looks at all pairs


def collapse_metrics(z: Tensor) -> dict[str, float]:
    """Rank, scale and agreement of (n, d) features by name; n among them, since every rank depends on it.

    uniformity is of at most 512 rows, evenly spaced over the sample. ValueError unless n >= 2 and all are finite.
    """
    z = spectrum.check_features(z)
    decomposed = spectrum.Spectrum.of(z)
    r, share = spectrum.spectral_cliff(decomposed)
    some = torch.linspace(0, len(z) - 1, min(len(z), UNIFORMITY_ROWS)).long()
    values: dict[str, Tensor | float] = {
        "rankme": spectrum.rankme(decomposed),
        "effective_rank": spectrum.effective_rank(decomposed),
        "participation_ratio": spectrum.participation_ratio(decomposed),
        "stable_rank": spectrum.stable_rank(decomposed),
        "eigenvalue_ratio": spectrum.eigenvalue_ratio(decomposed),
        "alpha_req": spectrum.alpha_req(decomposed),
        "spectral_cliff_r": r,
        "spectral_cliff_share": share,
        "feature_std": scale.feature_std(z),
        "feature_std_l2": scale.feature_std_l2(z),
        "mean_pairwise_cosine": scale.mean_pairwise_cosine(z),
        "norm": scale.mean_norm(z),
        "uniformity": uniformity(z[some]),
        "n": len(z),
    }
    return {name: float(value) for name, value in values.items()}


def view_metrics(z: Tensor) -> dict[str, float]:
    """within_share and lidar of (n, v, d) features, v >= 2; alignment and invariance_error of the first two views."""
    z = spectrum.check_features(z, dims=3)
    values = {
        "within_share": within_share(z),
        "lidar": lidar(z),
        "alignment": alignment(z[:, 0], z[:, 1]),
        "invariance_error": invariance_error(z[:, 0], z[:, 1]),
    }
    return {name: float(value) for name, value in values.items()}
