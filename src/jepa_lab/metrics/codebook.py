"""Use of a codebook of K codes: shares, ages, lengths, stability, and quantisation error."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.metrics.arrays import Array, as_tensor
from jepa_lab.metrics.scale import centred, check_features, check_finite
from jepa_lab.metrics.spectrum import exp_entropy


def perplexity(counts: Array) -> Tensor:
    """Returns exp of the entropy of (K,) counts, in [1, K]: the number of equally used codes that
    would have the same entropy. It is 1 where nothing was counted."""
    return exp_entropy(_counts(counts))


def usage(counts: Array) -> Tensor:
    """Returns the share of the (K,) codes that were chosen at least once, in [0, 1]."""
    return (_counts(counts) > 0).to(torch.float64).mean()


def dead_code_age(last_used: Array, step: int) -> Tensor:
    """Returns the mean number of steps since the codes were last chosen, >= 0.

    `last_used` (K,) holds steps at or before `step`, and 0 for a code that was never chosen. The
    result is 0 where all codes were chosen in this step. Raises ValueError if a code was used after
    `step`.
    """
    last_used = _counts(last_used)
    if float(last_used.max()) > step:
        raise ValueError(
            f"step must be {float(last_used.max()):.0f} or later, as codes were used at that step,"
            f" got {step}"
        )
    return (step - last_used).mean()


def code_norms(codes: Array) -> dict[str, Tensor]:
    """Returns statistics of the lengths of (K, d) codes: `mean`, `median` (the lower of the two
    middle lengths), `min`, `max` and `spread`.

    `spread` is the largest length / the median length. It is 1 for equal lengths, 0 where all are
    0, and infinite where half of them are 0. Codes whose length grows without bound are no longer
    chosen.
    """
    if codes.ndim != 2 or codes.shape[0] < 1 or codes.shape[1] < 1:
        raise ValueError(f"expected codes (K, d), got {tuple(codes.shape)}")
    norms = check_finite(codes).norm(dim=1)
    spread = norms.max() / norms.median() if float(norms.max()) > 0 else torch.zeros_like(norms[0])
    return {
        "mean": norms.mean(),
        "median": norms.median(),
        "min": norms.min(),
        "max": norms.max(),
        "spread": spread,
    }


def assignment_churn(codes_before: Array, codes_after: Array) -> Tensor:
    """Returns the share of inputs whose code index changed between two moments, in [0, 1].

    Both arguments are (n,) integers for the same inputs. Raises ValueError for unequal shapes, no
    inputs, or indices that are not integers.
    """
    before, after = as_tensor(codes_before).detach(), as_tensor(codes_after).detach()
    if before.shape != after.shape or before.ndim != 1 or not len(before):
        raise ValueError(
            f"expected two (n,) of code indices, got {tuple(before.shape)} and {tuple(after.shape)}"
        )
    if before.is_floating_point() or after.is_floating_point():
        raise ValueError(f"code indices must be integers, got {before.dtype} and {after.dtype}")
    return (before != after).cpu().to(torch.float64).mean()


def codebook_churn(z: Array, before: Array, after: Array) -> Tensor:
    """Returns the share of (n, d) inputs whose nearest code has different indices in the (K, d)
    codebooks `before` and `after`, in [0, 1].

    Raises ValueError for codebooks of unequal shapes, another d, or no inputs.
    """
    if (
        before.ndim != 2
        or before.shape != after.shape
        or z.ndim != 2
        or z.shape[1] != before.shape[1]
    ):
        shapes = f"{tuple(z.shape)}, {tuple(before.shape)} and {tuple(after.shape)}"
        raise ValueError(f"expected inputs (n, d) and two codebooks (K, d), got {shapes}")
    z, *books = (check_finite(part) for part in (z, before, after))
    return assignment_churn(*(torch.cdist(z, book).argmin(dim=1) for book in books))


def quantisation_error(z: Array, q: Array) -> Tensor:
    """Returns mean |z - q|^2 / total variance of z (divided by n), for (n, d) inputs z and their
    codes q, >= 0.

    0 means exact codes, and 1 means codes no better than the mean of z. It is 0 where q equals z,
    and infinite where only z does not vary. Raises ValueError for unequal shapes.
    """
    if z.shape != q.shape:
        raise ValueError(
            f"expected two (n, d) of one shape, got {tuple(z.shape)} and {tuple(q.shape)}"
        )
    z, q = check_features(z), check_features(q)
    error, variance = (z - q).square().sum(), centred(z).square().sum()
    return error / variance if float(error) > 0 else torch.zeros_like(error)


def _counts(counts: Array) -> Tensor:
    counts = as_tensor(counts)
    if counts.ndim != 1 or len(counts) < 1:
        raise ValueError(f"expected (K,) counts, got {tuple(counts.shape)}")
    counts = counts.detach()
    counts = (counts.cpu() if counts.device.type == "mps" else counts).double()
    if not bool(((counts >= 0) & torch.isfinite(counts)).all()):
        raise ValueError("counts must be finite and not negative")
    return counts
