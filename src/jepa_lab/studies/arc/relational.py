"""The relational loss: relative distances between the objects of two grids should be equal,
independent of order and scale."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from jepa_lab.devices import sent
from jepa_lab.losses.rows import at_least_float32
from jepa_lab.losses.terms import LossTerms


def relational(a: Tensor, b: Tensor, mask_a: Tensor, mask_b: Tensor) -> LossTerms:
    """Returns the relational loss, a scalar >= 0 with the term relational, of object embeddings
    a (B, N, h) and b (B, M, h) with masks (B, N) and (B, M) bool.

    The objects of each pair of grids are matched one to one (`match`, no gradient), as many as the
    grid with fewer objects has. Distances between the matched objects of a grid are divided by
    their mean and compared with those of the other grid. The loss is the mean square of the
    differences over pairs of objects, then over grids with at least 2 matched objects. It is 0 if
    there are no such grids. A grid with exactly 2 matched objects has one distance, which always
    agrees. The loss is 0 for equal relations and independent of the order of objects and of the
    scale of either side. No gradient is stopped except in the matching. Computed in float32 or
    better, outside autocast. Raises ValueError for other shapes.
    """
    per_grid, counted = relational_rows(a, b, mask_a, mask_b)
    return relational_of_rows(per_grid, counted)


def relational_of_rows(per_grid: Tensor, counted: Tensor) -> LossTerms:
    """Returns the relational loss from the results of `relational_rows`."""
    loss = per_grid.sum() / counted.sum().clamp_min(1)
    return LossTerms(loss, {"relational": loss})


def relational_rows(a: Tensor, b: Tensor, mask_a: Tensor, mask_b: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the relational loss of each pair of grids (B,), and whether it counts (B,) bool. It
    is 0 where it does not."""
    _check(a, b, mask_a, mask_b)
    with torch.autocast(a.device.type, enabled=False):
        a, b = at_least_float32(a), at_least_float32(b)
        rows_a, rows_b, matched = match(a, b, mask_a, mask_b)
        pairs = matched.unsqueeze(1) & matched.unsqueeze(2)
        pairs = pairs & ~torch.eye(pairs.shape[-1], dtype=torch.bool, device=pairs.device)
        difference = _relations(_take(a, rows_a), pairs) - _relations(_take(b, rows_b), pairs)
        number = pairs.sum(dim=(1, 2))
        per_grid = (difference.square() * pairs).sum(dim=(1, 2)) / number.clamp_min(1)
    return per_grid, number > 0


@torch.no_grad()
def match(a: Tensor, b: Tensor, mask_a: Tensor, mask_b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the one-to-one matching of least total cosine distance.

    The result is the rows of a and of b, both (B, K) int64 with K = min(N, M), and a mask of valid
    pairs, (B, K) bool. Computed by the Hungarian algorithm on the CPU, for which an accelerator has
    to be waited for once.
    """
    cosine = F.normalize(a.float(), dim=-1) @ F.normalize(b.float(), dim=-1).transpose(1, 2)
    # A diverged run should give a NaN loss, not an error of the matching.
    parts = torch.nan_to_num(cosine).flatten(1), mask_a, mask_b
    # one copy, since the host waits for each
    packed = torch.cat([x.to(cosine.dtype) for x in parts], dim=1).cpu().numpy()
    n, m = a.shape[1], b.shape[1]
    gain, live_a, live_b = packed[:, : n * m], packed[:, n * m : -m], packed[:, -m:]
    found = np.zeros((3, len(a), min(n, m)), dtype=np.int64)
    for g in range(len(a)):
        of_a, of_b = live_a[g].nonzero()[0], live_b[g].nonzero()[0]
        i, j = linear_sum_assignment(gain[g].reshape(n, m)[of_a][:, of_b], maximize=True)
        found[:, g, : len(i)] = of_a[i], of_b[j], np.ones(len(i))
    rows_a, rows_b, matched = sent(torch.from_numpy(found), a.device)
    return rows_a, rows_b, matched.bool()


def relational_published(
    context: Tensor,
    target: Tensor,
    context_adjacency: Tensor,
    target_adjacency: Tensor,
    context_mask: Tensor,
    target_mask: Tensor,
) -> LossTerms:
    """Returns the relational loss of the public ARC code, kept to reproduce its numbers.

    R_ij is |z_i - z_j|^2 if objects i and j touch, else 0. Two terms have weight 1 in the total.
    relational is the mean square of (mean of R over the context's grids) - R of the target.
    relational_self is the mean square of (R of a context grid) - that mean.

    Shapes are context (B, G, N, h), target (B, N, h), adjacency (B, G, N, N) and (B, N, N), masks
    (B, G, N) and (B, N). Objects are paired by index, which is their rank by area. Means are over
    all N^2 entries, including zeros. The loss grows with the fourth power of the embeddings' scale.
    Raises ValueError for other shapes.
    """
    if context.ndim != 4 or target.shape != (context.shape[0], *context.shape[2:]):
        shapes = f"{tuple(context.shape)} and {tuple(target.shape)}"
        raise ValueError(f"expected context (B, G, N, h) and target (B, N, h), got {shapes}")
    with torch.autocast(context.device.type, enabled=False):
        of_context = _touching(context, context_adjacency, context_mask)
        of_target = _touching(target, target_adjacency, target_mask)
        mean = of_context.mean(dim=1)
        across = F.mse_loss(mean, of_target)
        within = (of_context - mean.unsqueeze(1)).square().mean()
    return LossTerms(across + within, {"relational": across, "relational_self": within})


def _relations(x: Tensor, pairs: Tensor) -> Tensor:
    """Returns the distances (B, K, K) of x (B, K, h), divided by their mean over `pairs`
    (B, K, K) bool."""
    distance = _distances(x)
    number = pairs.sum(dim=(1, 2)).clamp_min(1)
    mean = (distance * pairs).sum(dim=(1, 2)) / number
    # Distances below 1e-6 of the embeddings' length are rounding errors, which the division should
    # not amplify.
    floor = 1e-6 * x.detach().norm(dim=-1).amax(dim=1)
    return distance / torch.maximum(mean, floor).clamp_min(1e-30)[:, None, None]


def _distances(x: Tensor) -> Tensor:
    """Returns the distances (..., K, K) of x (..., K, h), with gradient 0 at distance 0.

    For long lists cdist would use a matrix product, which loses small distances to rounding.
    """
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def _touching(z: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
    z = at_least_float32(z)
    both = mask.unsqueeze(-1) & mask.unsqueeze(-2) & adjacency.bool()
    return _distances(z).square() * both


def _take(x: Tensor, rows: Tensor) -> Tensor:
    return x.gather(1, rows.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def _check(a: Tensor, b: Tensor, mask_a: Tensor, mask_b: Tensor) -> None:
    if a.ndim != 3 or b.ndim != 3 or (len(a), a.shape[2]) != (len(b), b.shape[2]):
        raise ValueError(
            f"expected a (B, N, h) and b (B, M, h), got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if mask_a.shape != a.shape[:2] or mask_b.shape != b.shape[:2]:
        raise ValueError(
            f"expected a mask per object, got {tuple(mask_a.shape)} and {tuple(mask_b.shape)}"
        )
