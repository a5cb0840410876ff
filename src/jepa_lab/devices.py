"""Tensors on an accelerator, without making the host wait for it.

An accelerator works behind the host. Reading a value back, and copying from memory that is not
pinned, makes the host wait until the device has caught up.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


def reads_are_free(x: Tensor) -> bool:
    """Whether the host may look at values of x without waiting for a device."""
    return x.device.type == "cpu"


def sent(x: Tensor, to: Tensor | torch.device) -> Tensor:
    """Returns a tensor of the host on another device, with the type of `to` if that is a tensor.
    The host does not wait for the copy."""
    device = to if isinstance(to, torch.device) else to.device
    if device.type == "cuda" and x.device.type == "cpu":
        x = x.pin_memory()
    dtype = x.dtype if isinstance(to, torch.device) else to.dtype
    return x.to(device, dtype, non_blocking=True)


def current(device: torch.device) -> torch.device:
    """Returns the device with its number, which other threads cannot derive: "cuda" is the one that
    this thread has chosen."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())


def free_bytes(device: torch.device) -> float:
    """Returns the free memory of a device, infinite where torch does not know it."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf


def constant(values: Numbers, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Returns numbers as a tensor on the device of `like`, with its type unless another is given.
    It is made once, and must not be changed."""
    return _constant(values, dtype or like.dtype, like.device)


@lru_cache(maxsize=256)
def _constant(values: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # else an evaluation would make it unusable in training
        return torch.tensor(values, dtype=dtype, device=device)
