"""The interval of a share."""

from __future__ import annotations

import math

Z = 1.959964  # two-sided 95 %


def wilson(hits: float, n: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share of n, (0, 1) for n = 0 (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    p = hits / n
    middle, width = p + Z * Z / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    return max((middle - width) / scale, 0.0), min((middle + width) / scale, 1.0)
