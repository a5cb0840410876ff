"""Reads and diagnoses features from an .npz file with z and, optionally, labels and codes."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from jepa_lab.diagnosis.features import diagnose_features
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.errors import UserError

# types that float32 represents exactly
SINGLE = ("float32", "float16", "int8", "uint8", "int16", "uint16")
CODES = 2**24  # the largest codebook; a larger index is taken for a mistake


def diagnose_npz(path: Path) -> Verdict:
    """Returns the verdict on the array `z` of the file, (n, d) or (n, v, d).

    The arrays `labels` (n,) and `codes` are optional. Raises UserError with the file and the array
    if the file cannot be read or an array does not fit."""
    arrays = _read(path)
    if "z" not in arrays:
        raise UserError(f"{path}: no array z; it has {', '.join(sorted(arrays)) or 'none'}")
    z, labels, codes = arrays["z"], arrays.get("labels"), arrays.get("codes")
    if z.ndim not in (2, 3) or 0 in z.shape:
        raise UserError(f"{path}: z has shape {z.shape}; expected (n, d) or (n, v, d)")
    if z.dtype.kind not in "fiu":
        raise UserError(f"{path}: z holds {z.dtype}; expected floating-point numbers")
    if z.dtype.kind == "f" and not np.isfinite(z).all():
        bad = int(np.size(z) - np.isfinite(z).sum())
        raise UserError(
            f"{path}: z has {bad} of {z.size} values that are not finite; features must be numbers"
        )
    if labels is not None and (labels.ndim != 1 or len(labels) != len(z)):
        raise UserError(
            f"{path}: labels has shape {labels.shape}; expected ({len(z)},), one for each row of z"
        )
    if codes is not None:
        _check_codes(path, codes)
    try:
        return diagnose_features(
            torch.as_tensor(z.astype(np.float32 if z.dtype in SINGLE else np.float64)),
            labels=None if labels is None else torch.as_tensor(_numbered(labels)),
            codes=None if codes is None else torch.as_tensor(codes.astype(np.int64)),
        )
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _numbered(labels: np.ndarray) -> np.ndarray:
    """Returns the labels (numbers or names) as whole numbers from 0. Labels of -1 or NaN become
    -1."""
    numbers: np.ndarray = np.unique(labels, return_inverse=True)[1]
    if labels.dtype.kind in "if":
        numbers[(labels == -1) | np.isnan(labels)] = -1
    return numbers


def _check_codes(path: Path, codes: np.ndarray) -> None:
    if codes.dtype.kind not in "iu":
        raise UserError(f"{path}: codes holds {codes.dtype}; expected whole numbers from 0")
    if codes.size == 0:
        raise UserError(
            f"{path}: codes has shape {codes.shape}; expected one index for each row or token"
        )
    least, most = int(codes.min()), int(codes.max())
    if least < 0 or most >= CODES:
        wrong = least if least < 0 else most
        raise UserError(f"{path}: codes holds {wrong}; expected indices from 0 to {CODES - 1:,}")


def _read(path: Path) -> dict[str, np.ndarray]:
    """Returns z, labels and codes, and an empty array for every other name in the file."""
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{path}: not a readable .npz, as np.savez(path, z=z) writes it; to diagnose a run,"
            " pass its folder, e.g. runs/teacherless_b/<run_id>"
        )
    name = ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {other: np.empty(0) for other in archive.files}
            for name in found.keys() & {"z", "labels", "codes"}:
                found[name] = archive[name]
            return found
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        if "allow_pickle" in str(error):
            raise UserError(
                f"{path}: {name} holds Python objects; expected an array of numbers"
            ) from None
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a readable .npz ({reason})") from None
