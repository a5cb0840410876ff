"""What every loss returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class LossTerms(NamedTuple):
    """total: scalar to minimise; terms: its parts as unweighted scalars, by name."""

    total: Tensor
    terms: dict[str, Tensor]
