"""Features and labels of other code as tensors: from arrays of any library, type and memory
layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from jepa_lab.data.labels import Classes, classes_of
from jepa_lab.data.user_arrays import as_array

# types that float32 represents exactly
SINGLE = ("float32", "float16", "int8", "uint8", "int16", "uint16")


def feature_tensor(values: Any, name: str) -> Tensor:
    """Returns features (n, d) or (n, v, d) in floating point. Tensors stay on their device. Raises
    ValueError, with `name` in it, for another shape and for values that are not real numbers."""
    if isinstance(values, Tensor) and values.is_floating_point() and values.layout == torch.strided:
        z = values.detach()
    else:
        array = as_array(values, name)
        if array.dtype.kind == "O":
            array = _of_objects(array, name)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{name} holds {array.dtype}; expected floating-point numbers")
        z = torch.from_numpy(
            np.array(array, dtype=np.float32 if array.dtype.name in SINGLE else np.float64)
        )
        z = z.to(values.device) if isinstance(values, Tensor) else z
    if z.ndim not in (2, 3) or (z.ndim == 3 and z.shape[1] == 0):
        what = "features" if name == "z" else name
        raise ValueError(f"expected {what} (n, d) or (n, v, d), got {tuple(z.shape)}")
    return z


def reference_rows(values: Any) -> tuple[Tensor, str]:
    """Returns the rows (N, d) of a reference that are finite, and a remark on the others. Raises
    ValueError as `feature_tensor` does, and for fewer than two rows that are finite."""
    rows = feature_tensor(values, "reference").flatten(0, -2)
    finite = torch.isfinite(rows).all(dim=1)
    bad = len(rows) - int(finite.sum())
    if len(rows) - bad < 2:
        raise ValueError(f"reference has {len(rows) - bad} rows that are finite; 2 are needed")
    remark = f"{bad:,} of {len(rows):,} rows of the reference are not finite and are left out"
    return (rows[finite], remark) if bad else (rows, "")


def label_classes(labels: Any, n: int, views: int) -> Classes:
    """Returns the classes of n images by their name "labels": (n,) int64 from 0, -1 for unknown.

    Labels are strings, bools or whole numbers, one for each image or for each of its views. -1 and
    NaN are unknown. Raises ValueError for labels of another shape or kind.
    """
    array = (
        np.array(labels, dtype=object)
        if isinstance(labels, list | tuple)
        else as_array(labels, "labels")
    )
    if views > 1 and array.size == n * views:
        array = array.reshape(-1)[::views]
    return classes_of({"labels": array}, {"labels": n}, unknown=True)


def _of_objects(array: np.ndarray, name: str) -> np.ndarray:
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} holds Python objects; expected an array of numbers") from None
