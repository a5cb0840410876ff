"""Reads and diagnoses features from an .npz file with z and, optionally, labels and codes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from jepa_lab.data.labels import Classes
from jepa_lab.diagnosis.features import diagnose_features
from jepa_lab.diagnosis.inputs import label_classes
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.errors import UserError
from jepa_lab.files.arrays import PythonObjects, read_npz


def diagnose_npz(path: Path) -> tuple[Verdict, Classes | None]:
    """Returns the verdict on the array `z` of the file, (n, d) or (n, v, d), and the classes of its
    labels.

    The arrays `labels`, (n,) or (n, 1), and `codes` are optional. Raises UserError with the file
    and the array if the file cannot be read or an array does not fit."""
    arrays = _read(path)
    if "z" not in arrays:
        raise UserError(f"{path}: no array z; it has {', '.join(sorted(arrays)) or 'none'}")
    z, labels, codes = arrays["z"], arrays.get("labels"), arrays.get("codes")
    if z.ndim not in (2, 3) or 0 in z.shape:
        raise UserError(f"{path}: z has shape {z.shape}; expected (n, d) or (n, v, d)")
    if z.dtype.kind == "f" and not np.isfinite(z).all():
        bad = int(np.size(z) - np.isfinite(z).sum())
        raise UserError(
            f"{path}: z has {bad} of {z.size} values that are not finite; features must be numbers"
        )
    if labels is not None and labels.shape not in ((len(z),), (len(z), 1)):
        raise UserError(
            f"{path}: labels has shape {labels.shape}; expected ({len(z)},), one for each row of z"
        )
    if codes is not None and codes.dtype.kind == "f":
        raise UserError(f"{path}: codes holds {codes.dtype}; expected whole numbers from 0")
    try:
        classes = None if labels is None else label_classes(labels, len(z), 1)
        numbers = None if classes is None else classes.labels["labels"]
        return diagnose_features(z, labels=numbers, codes=codes), classes
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _read(path: Path) -> dict[str, np.ndarray]:
    """Returns z, labels and codes, and an empty array for every other name in the file."""
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{path}: not a readable .npz, as np.savez(path, z=z) writes it; to diagnose a run,"
            " pass its folder, e.g. runs/teacherless_b/<run_id>"
        )
    try:
        return read_npz(path, ("z", "labels", "codes").__contains__)
    except PythonObjects as error:
        raise UserError(
            f"{path}: {error.name} holds Python objects; expected an array of numbers"
        ) from None
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a readable .npz ({reason})") from None
