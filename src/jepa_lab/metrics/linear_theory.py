"""The linear BYOL toy in closed form: its optimum, and the distance of a predictor and an encoder
from it.

Two views share one latent z ~ N(0, diag(spectrum)): x = A z + e and x' = A z + e', with noise of
variance sigma^2 in every coordinate. The online encoder reads x, the target encoder x'. The
predictor P maps B_o x to B_t x'. Everything is float64 and batched over leading dimensions that
broadcast: A (..., D, d), B_o and B_t (..., d, D), P (..., d, d), spectrum (d,). sigma is a standard
deviation.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# A singular value below this share of the largest one counts as 0.
RANK_SHARE = 1e-8
# An eigenvalue of a covariance below this share of the largest is rounding, and is not inverted.
PINV_SHARE = 1e-12
COLLAPSED = 1e-12  # a total variance below this counts as no variation


class Covariances(NamedTuple):
    """Second moments (..., d, d) of the two branches: E[z_o z_o'], E[z_t z_o'], E[z_t z_t']."""

    oo: Tensor
    to: Tensor
    tt: Tensor


def covariances(A: Tensor, B_o: Tensor, B_t: Tensor, spectrum: Tensor, sigma: float) -> Covariances:
    """Returns the exact second moments of B_o x and B_t x'. Raises ValueError for shapes that do
    not fit."""
    _check(A, B_o, spectrum)
    A, B_o, B_t, spectrum = _double(A, B_o, B_t, spectrum)
    signal_o, signal_t = B_o @ A, B_t @ A
    noise = sigma**2
    return Covariances(
        (signal_o * spectrum) @ signal_o.mT + noise * B_o @ B_o.mT,
        (signal_t * spectrum) @ signal_o.mT,
        (signal_t * spectrum) @ signal_t.mT + noise * B_t @ B_t.mT,
    )


def optimal_predictor(
    A: Tensor, B_o: Tensor, B_t: Tensor, spectrum: Tensor, sigma: float
) -> Tensor:
    """Returns P* = C_to C_oo^-1 (..., d, d), the Wiener filter, with the pseudo-inverse where C_oo
    is singular."""
    return wiener(covariances(A, B_o, B_t, spectrum, sigma))


def wiener(c: Covariances, inverse: Tensor | None = None) -> Tensor:
    """Returns C_to C_oo^+ (..., d, d). `inverse` is C_oo^+, if already computed."""
    return c.to @ (inverse_covariance(c.oo) if inverse is None else inverse)


def inverse_covariance(covariance: Tensor) -> Tensor:
    """Returns the pseudo-inverse of covariances (..., d, d). Eigenvalues that are mere rounding are
    not inverted."""
    return torch.linalg.pinv(covariance, rtol=PINV_SHARE, hermitian=True)


def curvature(A: Tensor, B_o: Tensor, spectrum: Tensor, sigma: float) -> Tensor:
    """Returns H_max (...), the largest eigenvalue of C_oo. The loss is a mean over d outputs, so
    its curvature in P is 2 H_max / d."""
    return torch.linalg.eigvalsh(covariances(A, B_o, B_o, spectrum, sigma).oo)[..., -1]


def stability_bound(h_max: Tensor | float, momentum: Tensor | float, d: int) -> Tensor | float:
    """Returns d (1 + mu) / H_max, the learning rate of P above which heavy-ball descent with a
    frozen encoder diverges.

    It follows from alpha < 2 (1 + mu) / lambda_max of the Hessian (Polyak 1964), where lambda_max
    is 2 H_max / d.
    """
    return d * (1 + momentum) / h_max


def population_loss(c: Covariances, P: Tensor) -> Tensor:
    """Returns the expected mean over d of (P z_o - z_t)^2 (...), over an infinite batch."""
    P = P.double()
    quadratic = ((P @ c.oo) * P).sum((-1, -2))
    return (_trace(c.tt) - 2 * (P * c.to).sum((-1, -2)) + quadratic) / P.shape[-1]


def irreducible_loss(c: Covariances, P_star: Tensor | None = None) -> Tensor:
    """Returns the population loss of P* (...), the lowest that these encoders allow."""
    P_star = wiener(c) if P_star is None else P_star
    # a value below 0 is rounding
    return ((_trace(c.tt) - (P_star * c.to).sum((-1, -2))) / c.tt.shape[-1]).clamp_min(0)


def readout_r2(
    A: Tensor, B_o: Tensor, spectrum: Tensor, sigma: float, inverse: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Returns two R² (...) of the best linear readout of the latents from B_o x: that of their
    total variance, and the mean of the R² of each latent.

    Both are invariant to scale and rotation of B_o. At the optimum R² is spectrum / (spectrum +
    sigma^2) for each latent. `inverse` is C_oo^+, if already computed.
    """
    if inverse is None:
        inverse = inverse_covariance(covariances(A, B_o, B_o, spectrum, sigma).oo)
    A, B_o, spectrum = _double(A, B_o, spectrum)
    cross = spectrum[:, None] * (B_o @ A).mT  # E[z z_o']
    explained = ((cross @ inverse) * cross).sum(-1)
    return explained.sum(-1) / spectrum.sum(), (explained / spectrum).mean(-1)


def predictor_errors(
    P: Tensor, P_star: Tensor, singular_values: tuple[Tensor, Tensor] | None = None
) -> dict[str, Tensor]:
    """Returns distances of P (..., d, d) from P*, each (...):
    - W_Fro_raw: |P - P*|_F, also as log10.
    - W_Fro_aligned: |s(P) - s(P*)|_2, also as log10. This is the distance that remains after the
      best rotations on both sides. It is never above W_Fro_raw (Mirsky 1960).
    - W_rel_sv_err: the error of the singular values relative to those of P*.
    - W_cos_left_min and W_cos_right_min: the smallest cosine between the left and between the right
      singular spaces of P and P*, 1 for full rank.

    `singular_values` holds the singular values of P and of P*, if already computed.
    """
    P, P_star = _double(P, P_star)
    s, s_star = singular_values or (torch.linalg.svdvals(P), torch.linalg.svdvals(P_star))
    rank = torch.minimum(_rank(s), _rank(s_star))
    kept = torch.arange(s.shape[-1], device=s.device) < rank[..., None]
    gap = torch.where(kept, s - s_star, 0.0).norm(dim=-1)
    left, right = torch.ones_like(gap), torch.ones_like(gap)
    if bool((rank < s.shape[-1]).any()):
        left, right = _singular_space_cosines(P, P_star, rank)
    raw, aligned = (P - P_star).flatten(-2).norm(dim=-1), (s - s_star).norm(dim=-1)
    return {
        "W_rel_sv_err": gap / (torch.where(kept, s_star, 0.0).norm(dim=-1) + 1e-12),
        "W_Fro_raw": raw,
        "W_Fro_aligned": torch.minimum(aligned, raw),
        "log10_W_Fro_raw": raw.clamp_min(1e-16).log10(),
        "log10_W_Fro_aligned": torch.minimum(aligned, raw).clamp_min(1e-16).log10(),
        "W_cos_left_min": left,
        "W_cos_right_min": right,
    }


class ExactEncoder(NamedTuple):
    """A^+ (..., d, D), and an orthonormal basis (..., D, d) of its row space."""

    inverse: Tensor
    rows: Tensor


def exact_encoder(A: Tensor) -> ExactEncoder:
    """Returns the encoder that inverts A."""
    inverse = torch.linalg.pinv(A.double())
    return ExactEncoder(inverse, torch.linalg.qr(inverse.mT).Q)


def encoder_errors(A: Tensor, B_o: Tensor, exact: ExactEncoder | None = None) -> dict[str, Tensor]:
    """Returns distances of B_o (..., d, D) from A^+, each (...):
    - BA_err_raw: |B_o A - I|_F.
    - BA_err_aligned (also as log10) and enc_procrustes_fro: |R'B_o A - I|_F and |R'B_o - A^+|_F
      after the best rotation R of the code.
    - enc_proj_dist: the distance between the projectors onto their row spaces, at most sqrt(2 d).
    - enc_cos_min and enc_cos_mean: the smallest and the mean cosine of the principal angles.

    `exact` is the exact encoder of A, if already computed.
    """
    _check(A, B_o, None)
    A, B_o = _double(A, B_o)
    inverse, true_rows = exact or exact_encoder(A)
    u, _, vh = torch.linalg.svd(B_o @ inverse.mT)
    rotated = (u @ vh).mT @ B_o
    rows = torch.linalg.qr(B_o.mT).Q
    cross = rows.mT @ true_rows
    cosines = torch.linalg.svdvals(cross).clamp(0, 1)
    one = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    aligned = (rotated @ A - one).flatten(-2).norm(dim=-1)
    # The norm of the sines. 1 - cos^2 would lose them to rounding.
    outside = true_rows - rows @ cross
    return {
        "enc_cos_min": cosines.amin(-1),
        "enc_cos_mean": cosines.mean(-1),
        "enc_proj_dist": 2**0.5 * outside.flatten(-2).norm(dim=-1),
        "BA_err_raw": (B_o @ A - one).flatten(-2).norm(dim=-1),
        "BA_err_aligned": aligned,
        "log10_BA_err_aligned": aligned.clamp_min(1e-16).log10(),
        "enc_procrustes_fro": (rotated - inverse).flatten(-2).norm(dim=-1),
    }


def covariance_rank(
    covariance: Tensor, floor: float = COLLAPSED, eigenvalues: Tensor | None = None
) -> Tensor:
    """Returns the effective rank (...) of a covariance (..., d, d): exp of the entropy of its
    normalised eigenvalues, in [1, d].

    It is 1.0 where the total variance is below `floor`, since the rank of mere rounding errors has
    no meaning. `eigenvalues` (..., d) are those of the covariance, if already computed.
    """
    if eigenvalues is None:
        eigenvalues = torch.linalg.eigvalsh(covariance.double())
    values = eigenvalues.clamp_min(0)
    total = values.sum(-1)
    share = values / total.clamp_min(1e-300)[..., None]
    rank = torch.exp(-torch.xlogy(share, share).sum(-1))
    return torch.where(total < floor, torch.ones_like(rank), rank)


def balance(P: Tensor, B_o: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Returns B_o B_o' / beta - P'P / alpha (..., d, d), which gradient flow conserves for any
    target and any data.

    Both terms change at the same rate, -(P'E B_o' + B_o E'P), where E is the residual moment. alpha
    and beta are (...).
    """
    P, B_o = _double(P, B_o)
    return B_o @ B_o.mT / beta[..., None, None] - P.mT @ P / alpha[..., None, None]


def _singular_space_cosines(P: Tensor, P_star: Tensor, rank: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the smallest singular value of U'U* and of V'V* over the first `rank` columns."""
    u, _, vh = torch.linalg.svd(P)
    u_star, _, vh_star = torch.linalg.svd(P_star)
    kept = (torch.arange(P.shape[-1], device=P.device) < rank[..., None]).double()
    cosines = []
    for a, b in ((u, u_star), (vh.mT, vh_star.mT)):
        # the other columns get cosine 1
        cross = (a * kept[..., None, :]).mT @ (b * kept[..., None, :]) + torch.diag_embed(1 - kept)
        cosines.append(torch.linalg.svdvals(cross).clamp(0, 1).amin(-1))
    return cosines[0], cosines[1]


def _rank(s: Tensor) -> Tensor:
    return (s > RANK_SHARE * s[..., :1]).sum(-1).clamp_min(1)


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)


def _double(*tensors: Tensor) -> list[Tensor]:
    return [tensor.double() for tensor in tensors]


def _check(A: Tensor, B: Tensor, spectrum: Tensor | None) -> None:
    if A.ndim < 2 or B.ndim < 2 or A.shape[-2:] != B.shape[-2:][::-1]:
        raise ValueError(
            f"expected A (..., D, d) and B (..., d, D), got {tuple(A.shape)} and {tuple(B.shape)}"
        )
    if spectrum is not None and spectrum.shape != A.shape[-1:]:
        raise ValueError(
            f"expected a spectrum of {A.shape[-1]} variances, got {tuple(spectrum.shape)}"
        )
    if not (bool(torch.isfinite(A).all()) and bool(torch.isfinite(B).all())):
        raise ValueError("A and B must be finite")
