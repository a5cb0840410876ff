"""Arrays that users supply, from a file or from their own code, as plain NumPy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, dtype, float16, float32, float64, strided

from jepa_lab.errors import UserError
from jepa_lab.files import arrays as files
from jepa_lab.files.archives import is_archive
from jepa_lab.files.limits import OverLimit


def as_array(values: Any, name: str) -> np.ndarray:
    """Returns values as a NumPy array in the byte order of this machine.

    The values are an array (of any byte order and memory layout), a tensor on any device, a list,
    or an object that NumPy converts. Fractions of a type that NumPy lacks, such as bfloat16, become
    float32. Raises ValueError, with `name` first, for masked values, for structured types, for
    other types that NumPy lacks and for lists whose rows have several lengths.
    """
    if isinstance(values, Tensor):
        return _of_tensor(values, name)
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: not an array ({str(error).splitlines()[0]})") from None
    if array.dtype.names is not None:
        fields = ", ".join(array.dtype.names)
        raise ValueError(f"{name}: an array with the fields {fields}; one plain array is needed")
    if isinstance(array, np.ma.MaskedArray) and bool(np.ma.getmaskarray(array).any()):
        masked = int(np.ma.getmaskarray(array).sum())
        raise ValueError(f"{name}: {masked} of {array.size} values are masked; leave them out")
    array = np.asarray(array)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _of_tensor(tensor: Tensor, name: str) -> np.ndarray:
    dense = tensor if tensor.layout == strided else tensor.to_dense()
    plain = dense.detach().cpu().resolve_conj().resolve_neg()
    try:
        return (plain.float() if _is_rare(plain.dtype) else plain).numpy()
    except (TypeError, RuntimeError):  # NotImplementedError is a RuntimeError
        raise ValueError(f"{name}: tensors of {plain.dtype} are not read") from None


def _is_rare(kind: dtype) -> bool:
    """Returns whether NumPy lacks a type of fractions."""
    return kind.is_floating_point and kind not in (float16, float32, float64)


def read_npy(path: Path, origin: str, kind: str = "a readable .npy") -> np.ndarray:
    """Returns the array in an .npy file. Raises UserError, with `origin` first, for any other
    file. `kind` says in the message what is needed."""
    advice = "write it with numpy.save"
    try:
        return files.read_npy(path)
    except OverLimit as error:
        raise UserError(f"{origin}: {path} has {error}") from None
    except (OSError, ValueError) as error:
        if is_archive(path):  # an archive of several arrays
            raise UserError(f"{origin}: {path} is not {kind} but an .npz; {advice}") from None
        raise UserError(f"{origin}: {path} is not {kind}; {advice}") from error
