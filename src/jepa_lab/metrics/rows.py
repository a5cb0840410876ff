"""Rows that are no samples: copies of others, rows far longer than the rest, and one row that
repeats. Every function takes (n, d) rows and returns one value for each row, or one number."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from jepa_lab.metrics.scale import centred, check_finite

SAMPLE = 1000  # rows that `coincidence` reads
COLUMNS = 512  # dimensions that `coincidence` reads
HEAVY = 10.0  # times the median distance, beyond which a row can be heavy
NEAR = 0.01  # of the root mean square distance of two rows, below which they can be copies
GAP = 3.0  # there must be hardly more pairs at this multiple of NEAR
PAIRS = 8192  # rows among which near copies are sought, since all pairs are compared
SCREEN = 32  # random dimensions in which near copies are sought first
MOST = 1_000_000  # close pairs that are measured; more are no copies but a crowd
BLOCK = 1024  # rows whose distances to all others are in memory at once
CHUNK = 16384  # pairs measured at once


def first_of_equal(z: Tensor) -> Tensor:
    """Returns for each row of (n, d) the index of the first row that equals it, (n,) int64. The
    values may be infinite. -0.0 equals 0.0, and NaN equals itself."""
    plain = _rows(z).detach()
    plain = plain if plain.dtype in (torch.float32, torch.float64) else plain.float()
    rows = np.ascontiguousarray((plain + 0.0).cpu().numpy())
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, place = np.unique(whole, return_index=True, return_inverse=True)
    return torch.from_numpy(first[place.reshape(-1)])


def multiplicities(first: Tensor) -> Tensor:
    """Returns how often each different row occurs, descending, from the result (n,) of
    `first_of_equal` or `first_of_near`."""
    return torch.unique(first, return_counts=True)[1].sort(descending=True).values


def equal_pairs(first: Tensor) -> float:
    """Returns the share of the pairs of two rows that are equal, in [0, 1]. `first` is (n,), n >=
    2."""
    counts, n = multiplicities(first).double(), len(first)
    return float((counts * (counts - 1)).sum()) / (n * (n - 1))


def coincidence(z: Tensor) -> float:
    """Returns the share of pairs of rows that would be equal if the d dimensions were independent.

    It is the product over dimensions of the share of pairs that agree there. Rows of a few values,
    such as binary or sparse codes, coincide by chance; rows of continuous values do not, and the
    share is about n^-d. It reads at most 1,000 rows and 512 dimensions, evenly spaced, and scales
    the logarithm to d. Raises ValueError for n < 2.
    """
    z = _rows(z)
    if len(z) < 2:
        raise ValueError(f"expected at least 2 rows, got {tuple(z.shape)}")
    columns = _evenly(z.shape[1], COLUMNS)
    some = z[_evenly(len(z), SAMPLE)][:, columns].detach().cpu()
    n, logs = len(some), 0.0
    for column in some.T:
        counts = torch.unique(column, return_counts=True)[1].double()
        agree = float((counts * (counts - 1)).sum()) / (n * (n - 1))
        # a pair that was not seen in the sample is at most this likely
        logs += math.log(max(agree, 1.0 / (n * n)))
    return math.exp(max(logs * z.shape[1] / len(columns), -700.0))


def squared_distances(z: Tensor) -> Tensor:
    """Returns the squared distance of every row from the row of medians, (n,) float64. It is
    infinite where float64 cannot hold it."""
    x = check_finite(_rows(z))
    return (x - x.median(dim=0).values).square().sum(dim=1)


def heavy_rows(z: Tensor, most: float = 0.1, share: float = 0.5) -> Tensor:
    """Returns which rows are heavy, (n,) bool: those more than 10 times as far from the row of
    medians as the median row is, if they are at most `most` of the rows and hold at least `share`
    of the squared distances. If not, no row is heavy.

    It does not depend on the scale or on a common mean. Heavy tails alone are no reason: the rows
    of a spherical Student t with 3 degrees of freedom hold less. Raises ValueError for values that
    are not finite.
    """
    squares = squared_distances(z)
    heavy = squares > HEAVY**2 * squares.median()
    if not bool(heavy.any()) or float(heavy.double().mean()) > most:
        return torch.zeros_like(heavy)
    return heavy if share_of(squares, heavy) >= share else torch.zeros_like(heavy)


def share_of(squares: Tensor, rows: Tensor) -> float:
    """Returns the share of the sum of `squares` (n,) that the marked `rows` (n,) hold, in [0, 1].
    Infinite squares count as all of it."""
    largest = squares.max()
    if not bool(torch.isfinite(largest)) or float(largest) <= 0:
        return float(bool(torch.isinf(squares[rows]).any()))
    relative = squares / largest
    return float(relative[rows].sum() / relative.sum())


def first_of_near(z: Tensor) -> Tensor:
    """Returns for each row the index of the first row that is nearly equal, (n,) int64.

    Two rows are nearly equal if their distance is below 1 % of the root mean square distance of two
    rows, as after storage in half precision (0.1 to 0.5 %). Rows are only called so if there is a
    gap: if three times that distance adds less than a fifth to the number of such pairs. Points on
    a line or a plane have no such gap. Without a gap, and for more than 8,192 rows, every row is
    its own. Raises ValueError for values that are not finite.
    """
    x = check_finite(_rows(z))
    own = torch.arange(len(x), device=x.device)
    if not 2 <= len(x) <= PAIRS:
        return own
    x = x - x.mean(dim=0)
    limit = 2.0 * float(x.square().sum(dim=1).mean()) * NEAR**2
    if limit <= 0 or not math.isfinite(limit):
        return own
    pairs = _close_pairs(x, GAP**2 * limit)
    if pairs is None or pairs.shape[1] == 0:
        return own
    near = pairs[:, _pair_distances(x, pairs) <= limit]
    if near.shape[1] == 0 or pairs.shape[1] >= 1.2 * near.shape[1]:
        return own
    return own.scatter_reduce(0, near[0], near[1], "amin")


def _close_pairs(x: Tensor, limit: float) -> Tensor | None:
    """Returns the pairs (later, earlier) of rows of (n, d) whose squared distance is at most
    `limit`, (2, pairs) int64, or None if they are more than MOST or 64 a row. Pairs are sought in
    float32 in at most 32 random dimensions, and then measured."""
    d = x.shape[1]
    scale = float(x.square().sum(dim=1).mean()) ** 0.5
    y, allowed = x / scale, 2.0 * limit / scale**2
    if d > SCREEN:
        random = torch.randn(d, SCREEN, generator=torch.Generator().manual_seed(0))
        y = y @ (random / SCREEN**0.5).to(y)
    y = y.float()
    squares, found, count = y.square().sum(dim=1), [], 0
    for rows in torch.arange(len(y), device=y.device).split(BLOCK):
        earlier = y[: int(rows[-1])]
        distances = squares[rows, None] + squares[: len(earlier)] - 2.0 * (y[rows] @ earlier.T)
        i, j = (distances <= allowed).nonzero(as_tuple=True)
        i = rows[i]
        found.append(torch.stack((i, j))[:, j < i])
        count += found[-1].shape[1]
        if count > max(MOST, 64 * len(y)):
            return None
    pairs = torch.cat(found, dim=1)
    return pairs[:, _pair_distances(x, pairs) <= limit]


def _pair_distances(x: Tensor, pairs: Tensor) -> Tensor:
    return torch.cat([(x[i] - x[j]).square().sum(dim=1) for i, j in pairs.split(CHUNK, dim=1)])


def without_blocks(z: Tensor, k: int) -> Tensor:
    """Returns (n, d) rows in float64 minus the mean of their block, of k blocks of consecutive rows
    of nearly equal size. Raises ValueError unless 1 <= k <= n."""
    x = check_finite(_rows(z))
    if not 1 <= k <= len(x):
        raise ValueError(f"expected 1 to {len(x)} blocks, got {k}")
    return torch.cat([centred(block) for block in x.tensor_split(k)])


def block_share(z: Tensor, k: int) -> float:
    """Returns the share of the variance of (n, d) rows that lies between the means of k blocks of
    consecutive rows, in [0, 1]. It is 0 where nothing varies, and (k - 1) / (n - 1) by chance."""
    total = float(centred(check_finite(_rows(z))).square().sum())
    left = float(without_blocks(z, k).square().sum())
    return max(1.0 - left / total, 0.0) if total > 0 else 0.0


def _rows(z: Tensor) -> Tensor:
    if z.ndim != 2 or 0 in z.shape:
        raise ValueError(f"expected rows (n, d), got {tuple(z.shape)}")
    return z


def _evenly(n: int, most: int) -> Tensor:
    return torch.linspace(0, n - 1, min(n, most), dtype=torch.float32).long()
