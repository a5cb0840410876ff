"""Diagnoses features from a file with z and, optionally, labels and codes."""

from __future__ import annotations

from pathlib import Path

from jepa_lab.data.labels import Classes
from jepa_lab.diagnosis.features import diagnose_features
from jepa_lab.diagnosis.inputs import label_classes
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.errors import UserError, say
from jepa_lab.report.feature_files import read_feature_file


def diagnose_npz(path: Path) -> tuple[Verdict, Classes | None]:
    """Returns the verdict on the array `z` of the file, (n, d) or (n, v, d), and the classes of its
    labels.

    The arrays `labels`, (n,) or (n, 1), `codes` and `codebook_size` are optional. A line names the
    arrays that are called otherwise in the file. Raises UserError with the file and the array if
    the file cannot be read or an array does not fit."""
    file = read_feature_file(path)
    for ours, given in file.renamed.items():
        say(f"{path}: {ours} is {given}")
    z, labels, codes, size = map(file.arrays.get, ("z", "labels", "codes", "codebook_size"))
    if z is None:
        raise UserError(f"{path}: no array z")
    if z.ndim not in (2, 3) or 0 in z.shape:
        raise UserError(f"{path}: z has shape {z.shape}; expected (n, d) or (n, v, d)")
    if labels is not None and labels.shape not in ((len(z),), (len(z), 1)):
        raise UserError(
            f"{path}: labels has shape {labels.shape}; expected ({len(z)},), one for each row of z"
        )
    if codes is not None and codes.dtype.kind == "f":
        raise UserError(f"{path}: codes holds {codes.dtype}; expected whole numbers from 0")
    try:
        classes = None if labels is None else label_classes(labels, len(z), 1)
        numbers = None if classes is None else classes.labels["labels"]
        return diagnose_features(z, labels=numbers, codes=codes, codebook_size=size), classes
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
