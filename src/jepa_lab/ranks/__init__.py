"""The processes that train one run together: their number, the rows of each, and sums and gathers
over them. Without torch.distributed every function returns its input.

A global batch is cut into one slice of rows for each process. Features are gathered, so that every
process computes the loss of the whole batch. The gradients of a gather are summed over processes,
and DistributedDataParallel averages the gradients of the parameters. Together they are the
gradients of one process that has the whole batch, for slices of any sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def world_size() -> int:
    """Returns the number of processes that train together, 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this process, 0 without torch.distributed."""
    return dist.get_rank() if world_size() > 1 else 0


def share(n: int, of: int | None = None) -> slice:
    """Returns the rows of a batch of n that this process computes, or process `of`.

    The slices of all processes follow each other, and their sizes differ by at most one row. A
    batch with fewer rows than processes is computed whole by every process.
    """
    world, at = world_size(), rank() if of is None else of
    if world == 1 or n < world:
        return slice(0, n)
    rows, more = divmod(n, world)
    start = at * rows + min(at, more)
    return slice(start, start + rows + (at < more))


def gather_rows(tensors: Sequence[Tensor], n: int) -> list[Tensor]:
    """Returns the rows of the whole batch of n for tensors (m, ...) with the rows of this process,
    in the order of one process.

    Differentiable, in one call for each dtype. The gradient is summed over processes.
    """
    if world_size() == 1 or n < world_size():
        return list(tensors)
    found: list[Tensor] = list(tensors)
    for dtype in dict.fromkeys(t.dtype for t in tensors):
        places = [i for i, t in enumerate(tensors) if t.dtype == dtype]
        flat = [tensors[i].reshape(len(tensors[i]), -1) for i in places]
        packed = torch.cat(flat, dim=1)
        sent = packed.byte() if dtype == torch.bool else packed
        whole: Tensor = _Rows.apply(sent, n).to(dtype)
        parts = whole.split([part.shape[1] for part in flat], dim=1)
        for i, part in zip(places, parts, strict=True):
            found[i] = part.reshape(n, *tensors[i].shape[1:])
    return found


def gather_fields(value: T, n: int, without: Sequence[str] = ()) -> T:
    """Returns a dataclass of tensors with the rows of the whole batch of n, except for the fields
    `without`. Fields that are no tensors stay as they are."""
    if world_size() == 1:
        return value
    assert is_dataclass(value)
    assert not isinstance(value, type)
    names = [
        f.name
        for f in fields(value)
        if f.name not in without and isinstance(getattr(value, f.name), Tensor)
    ]
    found = gather_rows([getattr(value, name) for name in names], n)
    changes: dict[str, Any] = dict(zip(names, found, strict=True))
    return replace(value, **changes)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, n: int) -> Tensor:
        slices = [share(n, of) for of in range(world_size())]
        sizes = [part.stop - part.start for part in slices]
        ctx.mine = slices[rank()]
        padded = rows.new_zeros(max(sizes), rows.shape[1])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return summed(gradient)[ctx.mine], None


def summed(x: Tensor) -> Tensor:
    """Returns the sum over processes of a tensor of the same shape in all of them, without
    gradient."""
    if world_size() == 1:
        return x
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def summed_with_gradient(x: Tensor) -> Tensor:
    """Returns `summed` as a differentiable operation, whose gradient is summed over processes
    too."""
    return x if world_size() == 1 else _Sum.apply(x)


def averaged_with_gradient(x: Tensor) -> Tensor:
    """Returns the mean over processes as a differentiable operation.

    It turns shares of a loss, one of each process, into the loss of the whole batch.
    """
    return x if world_size() == 1 else _Sum.apply(x) / world_size()


def mean_of_rows(share_mean: Tensor, rows: int, n: int) -> Tensor:
    """Returns the mean over a batch of n rows from the mean over the `rows` of this process, with
    gradient."""
    if world_size() == 1 or n < world_size():
        return share_mean
    return averaged_with_gradient(share_mean * (rows * world_size() / n))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return summed(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return summed(gradient)


def gathered(rows: Tensor) -> Tensor:
    """Returns the (n, d) rows of all processes in their order, without gradient. n may differ by
    process."""
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


def from_first(value: T) -> T:
    """Returns the value of process 0, which must be picklable. One broadcast."""
    if world_size() == 1:
        return value
    found: list[Any] = [value]
    dist.broadcast_object_list(found, src=0)
    first: T = found[0]
    return first


def of_all(value: T) -> list[T]:
    """Returns the values of all processes in their order. They must be picklable."""
    found: list[Any] = [value] * world_size()
    if len(found) > 1:
        dist.all_gather_object(found, value)
    return found


def highest(values: Sequence[int]) -> list[int]:
    """Returns the highest of each of these numbers over processes, in one reduction on the CPU."""
    if world_size() == 1:
        return list(values)
    votes = torch.tensor(values, dtype=torch.int64)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return [int(vote) for vote in votes]
