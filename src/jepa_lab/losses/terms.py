"""The value of a loss and of its terms."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class LossTerms(NamedTuple):
    """The value of a loss: `total` is the scalar to minimise. `terms` maps the name of each part of
    the loss to its value, an unweighted scalar."""

    total: Tensor
    terms: dict[str, Tensor]


def mean_terms(*losses: LossTerms) -> LossTerms:
    """Returns the mean of several losses with the same terms: the mean total and the mean of each
    term."""
    terms = {
        name: sum(loss.terms[name] for loss in losses) / len(losses) for name in losses[0].terms
    }
    total = sum(loss.total for loss in losses) / len(losses)
    return LossTerms(total, terms)  # type: ignore[arg-type]
