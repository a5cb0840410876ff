"""Groups of rows whose means hold most of the variance: blocks of consecutive rows, and every k-th
row, as features gathered from several processes have."""

from __future__ import annotations

from torch import Tensor

from jepa_lab.diagnosis.looking import Look
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.metrics import effective_rank, rows
from jepa_lab.metrics.variance_parts import between_share, without_place

BLOCKS = range(2, 17)
PROCESSES = range(2, 9)  # whose rows alternate
ORDINALS = {2: "2nd", 3: "3rd"}
BECAUSE = "gathered from processes of different statistics"


def block_note(seen: Look, t: Thresholds) -> str:
    """Returns a note if the means of blocks of consecutive rows hold most of the variance, or ''.

    The number of blocks is the smallest one that explains nearly as much as any.
    """
    if seen.v > 1:
        return ""
    shares = {k: rows.block_share(seen.x, k) for k in BLOCKS if k * t.samples <= len(seen.x)}
    k = _fewest(shares, t)
    if k is None:
        return ""
    inside = effective_rank(rows.without_blocks(seen.x, k))
    return (
        f"the means of {k} blocks of consecutive rows hold {100 * shares[k]:.0f} % of the variance"
        f" (effective rank within them {float(inside):.1f}): rows sorted by class, or {BECAUSE}"
    )


def alternating_note(seen: Look, labels: Tensor | None, t: Thresholds) -> str:
    """Returns a note if the means of every k-th row hold most of the variance, or ''. `labels` (n,)
    are those of all images, -1 for unknown. Classes that alternate are no processes: the means must
    also hold most of what the classes leave."""
    if seen.v > 1:
        return ""
    numbers = [k for k in PROCESSES if k * t.samples <= len(seen.x)]
    shares = {k: between_share(seen.x, seen.image % k) for k in numbers}
    k = _fewest(shares, t)
    if k is None:
        return ""
    group, reason = seen.image % k, "classes that alternate, or rows "
    if labels is not None:
        left = without_place(seen.x, labels[seen.image] + 1)
        if between_share(left, group) < t.heavy_share:
            return ""
        reason = ""
    inside = effective_rank(without_place(seen.x, group))
    return (
        f"the means of {k} groups of rows, each of every {ORDINALS.get(k, f'{k}th')} row, hold"
        f" {100 * shares[k]:.0f} % of the variance (effective rank within them"
        f" {float(inside):.1f}): {reason}{BECAUSE}"
    )


def _fewest(shares: dict[int, float], t: Thresholds) -> int | None:
    most = max(shares.values(), default=0.0)
    if most < t.heavy_share:
        return None
    return min(k for k, share in shares.items() if share >= 0.95 * most)
