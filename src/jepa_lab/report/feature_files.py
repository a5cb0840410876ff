"""Reads features, labels and codes from the files in which other code leaves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from jepa_lab.data.user_arrays import as_array
from jepa_lab.errors import UserError
from jepa_lab.files.archives import is_archive
from jepa_lab.files.arrays import Header, PythonObjects, npz_headers, read_npy, read_npz
from jepa_lab.files.columns import TABLES, read_columns
from jepa_lab.files.hdf5 import HDF5, hdf5_headers, read_hdf5
from jepa_lab.files.safe_tensors import read_safetensors, safetensors_headers
from jepa_lab.files.tensors import OtherObjects, is_torch_file, read_tensors
from jepa_lab.report.feature_names import (
    FEATURES,
    LABELS,
    Roles,
    is_of_weights,
    listed,
    of_one_group,
    roles_of,
)
from jepa_lab.report.feature_tables import dimensions_of

CONVERT = "save it with numpy.savez('features.npz', z=z, labels=labels), z of shape (n, d)"
UNREAD = {
    (".pkl", ".pickle", ".joblib"): "a pickle, which is not loaded, since that runs code",
    (".mat",): "a MATLAB file, which is not read",
    (".json", ".jsonl"): "JSON, which is not read as features",
}
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class FeatureFile:
    """The content of a file. `taps` holds the features of every tap, z if there is one, and
    `references` those at the start of the training. `remarks` say which array was read as what."""

    taps: Arrays
    labels: np.ndarray | None = None
    codes: np.ndarray | None = None
    codebook_size: np.ndarray | None = None
    references: Arrays = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def read_feature_file(path: Path) -> FeatureFile:
    """Returns the features in a file: .npz, .npy, .pth, .safetensors, HDF5 or a table.

    Names say which arrays are features, labels, codes or a reference (see `feature_names`). In a
    table, features are columns of lists, or all columns of fractions with those of whole numbers
    among them. Raises UserError, which names the file, for any other file, and says how to convert
    it.
    """
    suffix = path.suffix.lower()
    for endings, kind in UNREAD.items():
        if suffix in endings:
            raise UserError(f"{path}: {kind}; {CONVERT}")
    try:
        return _read(path, suffix)
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
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a readable {suffix or 'file'} ({reason})") from None


def _read(path: Path, suffix: str) -> FeatureFile:
    if is_torch_file(path):
        return _of_tensors(read_tensors(path))
    if is_archive(path):
        headers = npz_headers(path)
        return _of_parts(headers, lambda names: read_npz(path, names.__contains__), "array")
    if suffix == ".npy":
        return FeatureFile({"z": read_npy(path)})
    if suffix == ".safetensors":
        headers = safetensors_headers(path)
        return _of_parts(headers, lambda names: read_safetensors(path, names), "tensor")
    if suffix in HDF5:
        headers, others = of_one_group(hdf5_headers(path))
        found = _of_parts(headers, lambda names: read_hdf5(path, names), "data set")
        return replace(found, remarks=(*found.remarks, *others))
    if suffix in TABLES:
        return _of_columns(read_columns(path), path)
    if suffix in (".pt", ".pth"):
        raise UserError(f"not an archive of torch.save (PyTorch 1.6 or later); {CONVERT}")
    raise UserError(
        "not a readable .npz, as np.savez(path, z=z) writes it; to diagnose a run,"
        " pass its folder, e.g. runs/teacherless_b/<run_id>"
    )


def _of_parts(
    headers: Mapping[str, Header], read: Callable[[set[str]], Mapping[str, Any]], noun: str
) -> FeatureFile:
    """Returns the features among the parts of a file, of which only those with a role are read."""
    roles = _roles(headers)
    if not roles.taps:
        weights = is_of_weights(headers)
        what = "the weights of a model and no features" if weights else f"no {noun} z"
        save = "; torch.save(z, path) of features (n, d) is read" if noun == "tensor" else ""
        raise UserError(f"{what}; it has {listed(sorted(headers))}{save}")
    return _with_roles(read(roles.names()), roles)


def _roles(headers: Mapping[str, Header]) -> Roles:
    try:
        return roles_of(headers)
    except ValueError as error:
        raise UserError(str(error)) from None


def _with_roles(parts: Mapping[str, Any], roles: Roles, remarks: Iterable[str] = ()) -> FeatureFile:
    """Returns the file with the parts that have a role, as arrays."""
    named = {"labels": roles.labels, "codes": roles.codes, "codebook_size": roles.codebook_size}
    others = {ours: as_array(parts[name], ours) for ours, name in named.items() if name}
    said = [f"{ours} is {name}" for ours, name in {**roles.taps, **named}.items() if ours != name]
    said = [text for text in said if not text.endswith(" is None")]
    if len(roles.taps) > 1:
        said.append(f"the taps are {listed(roles.taps)}")
    if roles.left_out:
        said.append(f"left out: {listed(roles.left_out)}")
    return FeatureFile(
        {tap: as_array(parts[name], tap) for tap, name in roles.taps.items()},
        references={tap: as_array(parts[n], n) for tap, n in roles.references.items()},
        remarks=(*said, *remarks),
        **others,
    )


def _of_tensors(content: Any) -> FeatureFile:
    if isinstance(content, Tensor):
        return FeatureFile({"z": as_array(content, "z")})
    if isinstance(content, list | tuple):
        if _are_rows(content):
            return FeatureFile({"z": as_array(torch.stack(list(content)), "z")})
        content = dict(zip(("z", "labels"), content, strict=False)) if len(content) < 3 else {}
    if not isinstance(content, Mapping):
        content = {}
    values = list(content.values())
    no_roles = not {*FEATURES, *LABELS} & set(content)
    if no_roles and _are_rows(values):  # one vector for each name of a file
        return FeatureFile({"z": as_array(torch.stack(values), "z")})
    parts = {n: _as_part(n, value) for n, value in content.items() if isinstance(n, str)}
    headers = {n: _header(part) for n, part in parts.items() if part is not None}
    if (is_of_weights(content) and not _roles(headers).taps) or not headers:
        what = "the weights of a model and no features" if is_of_weights(content) else "no tensor z"
        save = "torch.save(z, path) of features (n, d) is read"
        raise UserError(f"{what}; it has {listed(content)}; {save}")
    return _of_parts(headers, lambda names: {n: content[n] for n in names}, "tensor")


def _as_part(name: str, value: Any) -> Tensor | np.ndarray | None:
    """Returns a value of a mapping as an array, None for one that is no array."""
    if isinstance(value, Tensor):
        return value
    try:
        return np.asarray(value) if isinstance(value, list | tuple) else None
    except ValueError:  # lists of several lengths
        return None


def _header(part: Tensor | np.ndarray) -> Header:
    if isinstance(part, np.ndarray):
        return Header(part.shape, part.dtype.kind)
    kind = "b" if part.dtype == torch.bool else "f" if part.is_floating_point() else "i"
    return Header(tuple(part.shape), "c" if part.is_complex() else kind)


def _of_columns(columns: Arrays, path: Path) -> FeatureFile:
    headers = {name: Header(x.shape, x.dtype.kind) for name, x in columns.items()}
    roles = _roles(headers)
    lists = [tap for tap, name in roles.taps.items() if columns[name].ndim > 1]
    if lists and len(lists) == len(roles.taps):
        return _with_roles(columns, roles)
    named = (roles.labels, roles.codes, roles.codebook_size)
    rest = {n: x for n, x in columns.items() if n not in named}
    z, remark = dimensions_of(rest, path)
    plain = Roles({}, {}, *named)
    found = _with_roles(columns, plain, [remark])
    return FeatureFile({"z": z}, found.labels, found.codes, found.codebook_size, {}, found.remarks)


def _are_rows(values: Iterable[Any]) -> bool:
    """Returns whether values are feature vectors of one length."""
    values = list(values)
    shapes = {tuple(x.shape) if isinstance(x, Tensor) else () for x in values}
    return len(values) > 1 and len(shapes) == 1 and len(shapes.pop()) == 1
