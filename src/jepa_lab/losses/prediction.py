"""The prediction loss, and its skill relative to the best constant prediction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.losses.rows import at_least_float32


def cosine_prediction(z_hat: Tensor, z_target: Tensor, eps: float = 1e-8) -> Tensor:
    """Returns 1 - mean cosine of paired rows (n, d): a scalar in [0, 2], in float32 or better.

    A row shorter than eps counts as a row of length eps. No gradient is stopped here: a caller
    detaches targets that must not learn. Raises ValueError for unequal shapes.
    """
    if z_hat.shape != z_target.shape or z_hat.ndim != 2:
        raise ValueError(
            f"expected two (n, d) tensors of one shape, got {tuple(z_hat.shape)} and"
            f" {tuple(z_target.shape)}"
        )
    with torch.autocast(z_hat.device.type, enabled=False):
        z_hat, z_target = at_least_float32(z_hat), at_least_float32(z_target)
        return 1.0 - F.cosine_similarity(z_hat, z_target, dim=-1, eps=eps).mean()


def constant_baseline_loss(z_target: Tensor, eps: float = 1e-8) -> Tensor:
    """Returns the prediction loss of the best constant vector for targets (n, d), a float64 scalar.

    It is 1 - |m|, where m is the mean of the normalised rows: the mean cosine with a unit vector c
    is c'm, which is largest along m. It is 0 where all targets point the same way, so that nothing
    is left to predict. eps is as in cosine_prediction.
    """
    return 1.0 - target_directions(z_target, eps).mean(dim=0).norm()


def target_directions(z_target: Tensor, eps: float = 1e-8) -> Tensor:
    """Returns the (n, d) targets scaled to length 1, in float64. The best constant vector points
    along their mean.

    Raises ValueError for another rank.
    """
    if z_target.ndim != 2:
        raise ValueError(f"expected (n, d), got {tuple(z_target.shape)}")
    # MPS devices have no float64
    z_target = z_target.cpu() if z_target.device.type == "mps" else z_target
    return F.normalize(z_target.double(), dim=-1, eps=eps)


def skill(loss: Tensor | float, constant_loss: Tensor | float) -> Tensor:
    """Returns 1 - loss / constant_loss: 1 is perfect, 0 is no better than the best constant.

    It is 0 where constant_loss is below 1e-6.
    """
    loss, constant = _float64(loss), _float64(constant_loss)
    return torch.where(
        constant < 1e-6, torch.zeros_like(constant), 1.0 - loss / constant.clamp_min(1e-6)
    )


def _float64(x: Tensor | float) -> Tensor:
    x = x.cpu() if isinstance(x, Tensor) and x.device.type == "mps" else x
    return torch.as_tensor(x, dtype=torch.float64)
