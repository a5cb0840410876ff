"""Where the codes of a codebook begin: at small random vectors, at tokens, or at the centres of
tokens."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from jepa_lab.networks.vq.maths import code_statistics, nearest

LLOYD_STEPS = 10
ROWS_PER_CODE = 32  # of the tokens that k-means looks at, at most
NOISE = 0.01  # of the tokens' spread: keeps codes apart that start at one token


def uniform_codes(size: int, d: int, source: torch.Generator) -> Tensor:
    """(K, d) drawn from U(-1/K, 1/K), the usual start without data."""
    return (torch.rand(size, d, generator=source) * 2.0 - 1.0) / size


def codes_at_tokens(tokens: Tensor, size: int, source: torch.Generator) -> Tensor:
    """(size, d): different rows of the (n, d) tokens in a random order; where there are more codes
    than tokens the rest are random tokens with a little noise, and a warning says so."""
    _say_if_few(tokens, size)
    order = torch.randperm(len(tokens), generator=source)[:size].to(tokens.device)
    return torch.cat([tokens[order], _near_tokens(tokens, size - len(order), source)])


def codes_at_centres(tokens: Tensor, size: int, source: torch.Generator) -> Tensor:
    """(size, d): k-means++ (Arthur & Vassilvitskii 2007) and ten Lloyd steps over (n, d) tokens.

    Looks at 32 tokens a code, evenly spaced. A centre without members stays. Where there are fewer
    different tokens than codes the rest are random tokens with a little noise; fewer tokens than
    codes are said in a warning.
    """
    _say_if_few(tokens, size)
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
    """At most n of the rows, evenly spaced."""
    if len(rows) <= n:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, n, device=rows.device).long()]


def _spread_seeds(tokens: Tensor, size: int, source: torch.Generator) -> Tensor:
    """k-means++: each further seed is a token, drawn with its squared distance from the nearest
    seed as weight; stops early where every token is a seed."""
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
    """(n,) squared distances from one token by one product; what is within its rounding is 0, a
    copy of the token."""
    distance = squares - 2.0 * (tokens @ tokens[at]) + squares[at]
    return torch.where(distance > 1e-5 * (squares + squares[at]), distance, 0.0)


def _near_tokens(tokens: Tensor, n: int, source: torch.Generator) -> Tensor:
    rows = torch.randint(len(tokens), (n,), generator=source).to(tokens.device)
    noise = torch.randn(n, tokens.shape[1], generator=source).to(tokens)
    spread = (tokens - tokens.mean(dim=0)).square().mean().sqrt()
    return tokens[rows] + NOISE * spread * noise


def _say_if_few(tokens: Tensor, size: int) -> None:
    if not len(tokens):
        raise ValueError("codes cannot begin at tokens: there are none")
    if len(tokens) < size:
        warnings.warn(
            f"a codebook of {size} codes begins with {len(tokens)} live tokens: the other codes are"
            " copies of them with a little noise; a smaller codebook or a larger batch would be"
            " right",
            stacklevel=4,
        )
