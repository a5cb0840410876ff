"""The door of the public metrics: arrays of NumPy, or of a library that it understands, as
tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Array = Tensor | np.ndarray

# torch computes with no unsigned integers of more than 8 bits, and has no long double
WIDER = {"uint16": "int32", "uint32": "int64", "uint64": "float64", "longdouble": "float64"}


def as_tensor(values: Array) -> Tensor:
    """Returns the values as a tensor. A tensor stays as it is, on its device. An array keeps its
    type where torch has it, whole numbers included, and is copied only where that is necessary.
    Raises ValueError for values that are no real numbers."""
    if isinstance(values, Tensor):
        return values
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"expected an array of numbers, got {array.dtype} {array.shape}")
    if isinstance(values, np.ma.MaskedArray) and bool(np.ma.getmaskarray(values).any()):
        raise ValueError(f"expected an array without masked values, got {array.shape}")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    name = "longdouble" if native.dtype == np.longdouble else native.dtype.name
    array = native.astype(WIDER.get(name, native.dtype), copy=False)
    # torch reads no array backwards, and warns of one that must not be written
    backwards = any(step < 0 for step in array.strides)
    return torch.from_numpy(array.copy() if backwards or not array.flags.writeable else array)


def held(values: Array) -> Tensor:
    """Returns `as_tensor` for values that are kept after the call: those of an array in memory of
    their own, since a loop often fills one array again and again."""
    tensor = as_tensor(values)
    return tensor.detach() if isinstance(values, Tensor) else tensor.clone()
