"""Sums and gathers over ranks for codebooks. Without torch.distributed they return their input."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Returns the number of processes that train together, 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def summed(x: Tensor) -> Tensor:
    """Returns the sum over ranks of a tensor of the same shape on all ranks, without gradient. On
    one rank it is x itself."""
    if world_size() == 1:
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return total


def summed_with_gradient(x: Tensor) -> Tensor:
    """Returns `summed` as a differentiable operation, whose gradient is summed over ranks too.

    If all ranks compute the same loss from the sum and their gradients are averaged, the result is
    the gradient of a single process.
    """
    return x if world_size() == 1 else _Sum.apply(x)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return summed(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return summed(gradient.contiguous())


def gathered(rows: Tensor) -> Tensor:
    """Returns the (n, d) rows of all ranks in the order of ranks, without gradient. n may differ by
    rank."""
    if world_size() == 1:
        return rows
    sizes = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
    longest = int(max(int(size) for size in sizes))
    padded = rows.new_zeros(longest, rows.shape[1])
    padded[: len(rows)] = rows.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(size)] for part, size in zip(parts, sizes, strict=True)])
