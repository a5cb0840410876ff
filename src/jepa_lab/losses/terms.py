"""What every loss returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class LossTerms(NamedTuple):
    """total: scalar to minimise; terms: its parts as unweighted scalars, by name."""

    total: Tensor
    terms: dict[str, Tensor]


def mean_terms(*losses: LossTerms) -> LossTerms:
    """The mean of losses with the same terms, total and parts."""
    terms = {
        name: sum(loss.terms[name] for loss in losses) / len(losses) for name in losses[0].terms
    }
    total = sum(loss.total for loss in losses) / len(losses)
    return LossTerms(total, terms)  # type: ignore[arg-type]
