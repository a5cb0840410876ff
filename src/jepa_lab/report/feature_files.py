"""Reads features, labels and codes from the files in which other code leaves them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from jepa_lab.data.user_arrays import as_array
from jepa_lab.errors import UserError
from jepa_lab.files.archives import is_archive
from jepa_lab.files.arrays import PythonObjects, read_npy, read_npz
from jepa_lab.files.columns import DELIMITERS, has_no_names, read_columns
from jepa_lab.files.tensors import OtherObjects, is_torch_file, read_tensors

FEATURES = "z features feats feature feat embeddings embedding embeds emb representations"
NAMES = {  # names of the same thing, the first of them ours
    "z": (*FEATURES.split(), "representation", "latents"),
    "labels": ("labels", "label", "targets", "target", "y"),
    "codes": ("codes", "code_indices"),
    "codebook_size": ("codebook_size", "codebook_sizes"),
}
CONVERT = "save it with numpy.savez('features.npz', z=z, labels=labels), z of shape (n, d)"
UNREAD = {
    (".pkl", ".pickle", ".joblib"): "a pickle, which is not loaded, since that runs code",
    (".h5", ".hdf5"): "HDF5, which is not read",
    (".mat",): "a MATLAB file, which is not read",
    (".safetensors",): "safetensors, which is not read",
    (".feather", ".arrow"): "an Arrow file, which is not read; write Parquet (.parquet), or",
    (".json", ".jsonl"): "JSON, which is not read as features",
}
DIGITS = "0123456789"
SHOWN = 5  # columns that a line names
WEIGHTS = re.compile(r"(^|\.)(weight|bias|running_mean|state_dict|optimizer)$")


@dataclass(frozen=True)
class FeatureFile:
    """The content of a file: `arrays` by our names, z always, labels, codes and codebook_size as
    far as it has them; and `renamed`, our name -> the name in the file where that differs."""

    arrays: dict[str, np.ndarray]
    renamed: dict[str, str] = field(default_factory=dict)


def read_feature_file(path: Path) -> FeatureFile:
    """Returns the features of an .npz, .npy, .pth, .parquet or .csv file.

    In a file of several arrays or columns, z may also be called features or embeddings, and labels
    label or targets. In a table, z is a column of lists, or all columns of fractions with those of
    whole numbers among them. Raises UserError, which names the file, for any other file, and says
    how to convert it.
    """
    suffix = path.suffix.lower()
    for endings, kind in UNREAD.items():
        if suffix in endings:
            raise UserError(f"{path}: {kind}; {CONVERT}")
    try:
        if is_torch_file(path):
            return _of_tensors(read_tensors(path), path)
        if is_archive(path):
            return _of_npz(path)
        if suffix == ".npy":
            return FeatureFile({"z": read_npy(path)})
        if suffix == ".parquet" or suffix in DELIMITERS:
            return _of_columns(read_columns(path), path)
    except PythonObjects as error:
        name = error.name or "the array"
        raise UserError(
            f"{path}: {name} holds Python objects; expected an array of numbers"
        ) from None
    except OtherObjects:
        raise UserError(
            f"{path}: holds Python objects besides tensors, which are not loaded; save tensors"
            " alone, as in torch.save({'z': z, 'labels': labels}, path)"
        ) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a readable {suffix or 'file'} ({reason})") from None
    if suffix in (".pt", ".pth"):
        raise UserError(f"{path}: not an archive of torch.save (PyTorch 1.6 or later); {CONVERT}")
    raise UserError(
        f"{path}: not a readable .npz, as np.savez(path, z=z) writes it; to diagnose a run,"
        " pass its folder, e.g. runs/teacherless_b/<run_id>"
    )


def _of_npz(path: Path) -> FeatureFile:
    names = list(read_npz(path, lambda _: False))
    # numpy.savez(path, z) calls the array arr_0
    chosen = {"z": "arr_0"} if names == ["arr_0"] else _chosen(names, path)
    if "z" not in chosen:
        raise UserError(f"{path}: no array z; it has {_some(sorted(names))}")
    arrays = read_npz(path, set(chosen.values()).__contains__)
    return _named({name: arrays[given] for name, given in chosen.items()}, chosen)


def _of_tensors(content: Any, path: Path) -> FeatureFile:
    if isinstance(content, Tensor):
        return FeatureFile({"z": as_array(content, "z")})
    if isinstance(content, list | tuple):
        if _are_rows(content):
            return FeatureFile({"z": as_array(torch.stack(list(content)), "z")})
        content = dict(zip(("z", "labels"), content, strict=False)) if len(content) < 3 else {}
    if not isinstance(content, Mapping):
        content = {}
    chosen = _chosen([name for name in content if isinstance(name, str)], path)
    values = list(content.values())
    if "z" not in chosen and _are_rows(values):  # one vector for each name of a file
        return FeatureFile({"z": as_array(torch.stack(values), "z")})
    if "z" not in chosen or not isinstance(content[chosen["z"]], Tensor):
        weights = any(WEIGHTS.search(str(name)) for name in content)
        what = "the weights of a model and no features" if weights else "no tensor z"
        has = _some(content)
        raise UserError(
            f"{path}: {what}; it has {has}; torch.save(z, path) of features (n, d) is read"
        )
    arrays = {name: as_array(content[given], name) for name, given in chosen.items()}
    return _named(arrays, chosen)


def _of_columns(columns: dict[str, np.ndarray], path: Path) -> FeatureFile:
    chosen = _chosen(columns, path)
    lists = [n for n, x in columns.items() if x.ndim > 1 and n not in chosen.values()]
    if "z" not in chosen and len(lists) == 1:
        chosen["z"] = lists[0]
    if "z" in chosen and columns[chosen["z"]].ndim > 1:
        return _named({name: columns[given] for name, given in chosen.items()}, chosen)
    rest = {name: given for name, given in chosen.items() if name != "z"}
    others = {n: x for n, x in columns.items() if n not in rest.values()}
    dimensions = _dimensions(others, path)
    if len(dimensions) < 2 or lists:
        raise UserError(
            f"{path}: no column of features; it has {_some(columns)}; a column embedding of lists"
            " of numbers, or one column of fractions for each dimension, is needed"
        )
    z = np.stack([columns[name] for name in dimensions], axis=1)
    found = _named({name: columns[given] for name, given in rest.items()}, rest)
    span = f"the {len(dimensions)} columns {dimensions[0]} to {dimensions[-1]}"
    dropped = [f"{n} ({_kind(x)})" for n, x in others.items() if n not in dimensions]
    if dropped:
        more = f" and {len(dropped) - SHOWN} more" if len(dropped) > SHOWN else ""
        span += f"; left out: {', '.join(dropped[:SHOWN])}{more}"
    return FeatureFile({"z": z, **found.arrays}, {"z": span, **found.renamed})


def _dimensions(columns: Mapping[str, np.ndarray], path: Path) -> list[str]:
    """Returns the names of the columns that are dimensions: those of fractions, and those of whole
    numbers that are called like them but for the number.

    Without names in the file a column of whole numbers may hold labels. It is a dimension if it is
    constant or between columns of fractions.
    """
    names = list(columns)
    fractions = [n for n, x in columns.items() if x.dtype.kind == "f" and x.ndim == 1]
    stems = {name.rstrip(DIGITS) for name in fractions if name[-1:].isdigit()}
    delimiter = DELIMITERS.get(path.suffix.lower())
    unnamed = delimiter is not None and has_no_names(path, delimiter)
    inside = names[names.index(fractions[0]) : names.index(fractions[-1])] if fractions else []

    def counts(name: str, column: np.ndarray) -> bool:
        whole = column.dtype.kind in "iu" and column.ndim == 1
        alike = whole and name[-1:].isdigit() and name.rstrip(DIGITS) in stems
        return alike and (not unnamed or name in inside or bool((column == column[0]).all()))

    return [name for name, x in columns.items() if name in fractions or counts(name, x)]


def _some(names: Iterable[Any]) -> str:
    """Returns the first names, each cut to a length that a line holds."""
    found = [str(name) for name in names]
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    cut = [name if len(name) <= 60 else f"{name[:60]}..." for name in found[:8]]
    return f"{', '.join(cut)}{more}" if cut else "nothing"


def _kind(column: np.ndarray) -> str:
    kinds = {"i": "whole numbers", "u": "whole numbers", "O": "text", "b": "true or false"}
    return kinds.get(column.dtype.kind, str(column.dtype))


def _chosen(names: Iterable[str], path: Path) -> dict[str, str]:
    """Returns our name -> the name in the file. Our own name comes first. Raises UserError if two
    names could be z."""
    names = list(names)
    found: dict[str, str] = {}
    for ours, aliases in NAMES.items():
        given = [ours] if ours in names else [n for n in names if n.lower() in aliases]
        if len(given) > 1 and ours == "z":
            raise UserError(f"{path}: {' and '.join(given)} could be the features; call one z")
        if len(given) == 1:
            found[ours] = given[0]
    return found


def _named(arrays: dict[str, np.ndarray], chosen: dict[str, str]) -> FeatureFile:
    return FeatureFile(arrays, {ours: given for ours, given in chosen.items() if ours != given})


def _are_rows(values: Iterable[Any]) -> bool:
    """Returns whether values are feature vectors of one length."""
    values = list(values)
    shapes = {tuple(x.shape) if isinstance(x, Tensor) else () for x in values}
    return len(values) > 1 and len(shapes) == 1 and len(shapes.pop()) == 1
