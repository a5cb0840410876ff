"""Initial codes of a codebook: small random vectors, tokens, or centres of tokens."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from jepa_lab.networks.vq.maths import code_statistics, nearest

LLOYD_STEPS = 10
ROWS_PER_CODE = 32  # k-means uses at most this many tokens per code
NOISE = 0.01  # share of the tokens' spread; separates codes that start at the same token


def uniform_codes(size: int, d: int, source: torch.Generator) -> Tensor:
    """Returns (K, d) drawn from U(-1/K, 1/K), the usual start without data."""
    return (torch.rand(size, d, generator=source) * 2.0 - 1.0) / size


def codes_at_tokens(tokens: Tensor, size: int, source: torch.Generator) -> Tensor:
    """Returns (size, d): different rows of the (n, d) tokens in a random order.

    If there are more codes than tokens, the other codes are random tokens with a little noise, and
    a warning is printed.
    """
    _warn_if_few(tokens, size)
    order = torch.randperm(len(tokens), generator=source)[:size].to(tokens.device)
    return torch.cat([tokens[order], _near_tokens(tokens, size - len(order), source)])


def codes_at_centres(tokens: Tensor, size: int, source: torch.Generator) -> Tensor:
    """Returns (size, d), the centres of (n, d) tokens by k-means++ (Arthur & Vassilvitskii 2007)
    and ten Lloyd steps.

    It uses 32 tokens per code, evenly spaced. A centre without members stays where it is. If there
    are fewer different tokens than codes, the other codes are random tokens with a little noise.
    Fewer tokens than codes also cause a warning.
    """
    _warn_if_few(tokens, size)
    tokens = spaced(tokens, ROWS_PER_CODE * size)
    centres = _spread_seeds(tokens, size, source)
    centres = torch.cat([centres, _near_tokens(tokens, size - len(centres), source)])
    for _ in range(LLOYD_STEPS):
        counts, sums = code_statistics(tokens, nearest(tokens, centres), size)
        centres = torch.where(
            counts.unsqueeze(1) > 0, sums / counts.clamp_min(1.0).unsqueeze(1), centres
        )
    return centres


def spaced(rows: Tensor, n: int) -> Tensor:
    """Returns at most n of the rows, evenly spaced."""
    if len(rows) <= n:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, n, device=rows.device).long()]


def _spread_seeds(tokens: Tensor, size: int, source: torch.Generator) -> Tensor:
    """Returns the seeds of k-means++. Each is a token, drawn in proportion to its squared distance
    from the nearest seed. It stops early if every token coincides with a seed."""
    first = int(torch.randint(len(tokens), (1,), generator=source))
    chosen, squares = [first], tokens.square().sum(dim=1)
    distance = _from_token(tokens, squares, first)
    for u in torch.rand(min(size, len(tokens)) - 1, generator=source, dtype=torch.float64).tolist():
        cumulative = distance.cpu().double().cumsum(0)
        total = float(cumulative[-1])
        if total <= 0.0:
            break
        at = int(torch.searchsorted(cumulative, torch.tensor(u * total, dtype=torch.float64)))
        chosen.append(min(at, len(tokens) - 1))
        distance = torch.minimum(distance, _from_token(tokens, squares, chosen[-1]))
    return tokens[chosen]


def _from_token(tokens: Tensor, squares: Tensor, at: int) -> Tensor:
    """Returns (n,) squared distances from one token, computed by one matrix product. Distances
    within the rounding error of the product are set to 0, so that copies of the token are at 0."""
    distance = squares - 2.0 * (tokens @ tokens[at]) + squares[at]
    return torch.where(distance > 1e-5 * (squares + squares[at]), distance, 0.0)


def _near_tokens(tokens: Tensor, n: int, source: torch.Generator) -> Tensor:
    rows = torch.randint(len(tokens), (n,), generator=source).to(tokens.device)
    noise = torch.randn(n, tokens.shape[1], generator=source).to(tokens)
    spread = (tokens - tokens.mean(dim=0)).square().mean().sqrt()
    return tokens[rows] + NOISE * spread * noise


def _warn_if_few(tokens: Tensor, size: int) -> None:
    if not len(tokens):
        raise ValueError("codes cannot start at tokens: there are no tokens")
    if len(tokens) < size:
        warnings.warn(
            f"a codebook of {size} codes starts from {len(tokens)} live tokens, and the other codes"
            " are copies of these with a little noise: use a smaller codebook or a larger batch",
            stacklevel=4,
        )
