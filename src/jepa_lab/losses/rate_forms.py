"""The coding rate in the conventions of two released codes, to reproduce their numbers: half a log-determinant, and the
distortion eps where the papers write eps^2.

Yu et al. 2020 (MCR2, arXiv:2006.08558) and Wu et al. 2025 (SimDINO, arXiv:2502.10385).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from jepa_lab.losses.coding_rate import coding_rate


def mcr2_rate(z: Tensor, eps: float = 0.5) -> Tensor:
    """1/2 logdet(I + d / (n eps) Z'Z) of (n, d) features, as they come. Scalar >= 0, differentiable, float32 or better.

    ValueError for another rank or eps <= 0.
    """
    return 0.5 * coding_rate(z, alpha=_alpha(z, eps))


def simdino_expansion(z: Tensor, eps: float = 0.5) -> Tensor:
    """(d + n) / (d n) times mcr2_rate of (n, d) features with their rows brought to length 1.

    ValueError for another rank or eps <= 0.
    """
    alpha = _alpha(z, eps)
    n, d = z.shape
    return 0.5 * (d + n) / (d * n) * coding_rate(F.normalize(z.float() if z.element_size() < 4 else z, dim=1), alpha)


def _alpha(z: Tensor, eps: float) -> float:
    if z.ndim != 2:
        raise ValueError(f"expected (n, d) features, got {tuple(z.shape)}")
    if not eps > 0:
        raise ValueError(f"eps must be above 0, got {eps}")
    return z.shape[1] / eps
