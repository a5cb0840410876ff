"""The value of a loss and of its terms."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class LossTerms(NamedTuple):
    """The value of a loss: `total` is the scalar to minimise. `terms` maps names to its parts,
    which are unweighted scalars."""

    total: Tensor
    terms: dict[str, Tensor]


def mean_terms(*losses: LossTerms) -> LossTerms:
    """Returns the mean of losses with the same terms, of the total and of each term."""
    terms = {
        name: sum(loss.terms[name] for loss in losses) / len(losses) for name in losses[0].terms
    }
    total = sum(loss.total for loss in losses) / len(losses)
    return LossTerms(total, terms)  # type: ignore[arg-type]
