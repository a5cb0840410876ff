"""Labels of any kind as classes: the distinct values are numbered 0 to K - 1 and keep their
names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jepa_lab.data.user_arrays import as_array

MOST_CLASSES = 100_000
NUMBERS = "whole numbers"
KINDS = {"b": "bools", "i": NUMBERS, "u": NUMBERS, "f": NUMBERS, "O": NUMBERS, "U": "strings"}
NEEDED = "strings, bools or whole numbers are needed"
SHOWN = 24  # characters of a name in a list of names; a number of 64 bits has 20


@dataclass(frozen=True)
class Classes:
    """Labels as classes.

    - labels: (N,) int64 for each array of labels, by its name. -1 is an unknown label
    - names: of the K classes in order. Strings are sorted, numbers are sorted by value
    """

    labels: dict[str, Tensor]
    names: tuple[str, ...]

    @property
    def numbered(self) -> bool:
        """Whether every class has its own number as name, as for the labels 0 to K - 1."""
        return all(name == str(k) for k, name in enumerate(self.names))

    def counts(self) -> dict[str, list[int]]:
        """Returns the number of rows of each class, by the name of the array."""
        return {name: class_counts(x, len(self.names)) for name, x in self.labels.items()}

    def index_like(self) -> str:
        """Returns why the labels are no classes, or "" if they can be. Classes have two rows each
        on average, and there are at most 100,000 of them."""
        k, n = len(self.names), sum(int((x >= 0).sum()) for x in self.labels.values())
        if 2 * k <= n and k <= MOST_CLASSES:
            return ""
        return f"{k:,} distinct values in {n:,} rows look like an index or a regression target"


def classes_of(
    given: Mapping[str, Any], rows: Mapping[str, int], *, unknown: bool = False
) -> Classes:
    """Returns the classes of labels, numbered over all arrays together.

    `given` maps the name of each array, such as train_labels, to its labels: strings, bools, or
    whole numbers of any type, size and sign, (N,) or (N, 1), with N from `rows`. With `unknown`,
    rows of -1 or NaN belong to no class. Raises ValueError, with the name of the array first, for
    another shape, for values of several kinds, for NaN and fractions, and for empty strings.
    """
    arrays = {name: _label_array(x, name, rows[name]) for name, x in given.items()}
    known = {name: _known(x) if unknown else np.ones(len(x), bool) for name, x in arrays.items()}
    for name, array in arrays.items():
        _require_values(array, known[name], name)
    kinds = {name: KINDS[array.dtype.kind] for name, array in arrays.items()}
    (first, kind), *others = kinds.items()
    for name, other in others:
        if other != kind:
            raise ValueError(f"{first} are {kind}, {name} are {other}; one kind is needed")
    distinct, places = {}, {}
    for name, array in arrays.items():
        found, places[name] = np.unique(array[known[name]], return_inverse=True)
        distinct[name] = [int(v) if kind == NUMBERS else v for v in found.tolist()]
    every = sorted(set().union(*distinct.values()))
    number = {value: k for k, value in enumerate(every)}
    labels = {}
    for name, values in distinct.items():
        numbered = np.array([number[value] for value in values], dtype=np.int64)
        whole = np.full(len(arrays[name]), -1, dtype=np.int64)
        whole[known[name]] = numbered[places[name]]
        labels[name] = torch.from_numpy(whole)
    return Classes(labels, tuple(map(str, every)))


def class_counts(labels: Tensor, k: int) -> list[int]:
    """Returns the number of rows of each of the k classes. Labels (N,) of -1 are not counted."""
    counts: list[int] = torch.bincount(labels[labels >= 0], minlength=k).tolist()
    return counts


def listed(
    names: Sequence[str], most: int = 10, form: Callable[[int, str], str] = lambda place, name: name
) -> str:
    """Returns the first `most` names on one line, and the number of the others. Long names are
    shortened. `form` adds more to the name at a place."""
    short = [" ".join(name.split()) for name in names[:most]]
    short = [name if len(name) <= SHOWN else f"{name[: SHOWN - 3]}..." for name in short]
    entries = [form(place, name) for place, name in enumerate(short)]
    return ", ".join(entries) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _label_array(values: Any, name: str, n: int) -> np.ndarray:
    """Returns labels (n,) of a type in KINDS."""
    if isinstance(values, list | tuple):
        values = np.array(values, dtype=object)  # NumPy would turn [1, "a"] into strings
    array = as_array(values, name)
    if array.shape == (n, 1):
        array = array[:, 0]
    if array.shape != (n,):
        one_hot = array.ndim == 2 and len(array) == n and array.dtype.kind in "biuf"
        hint = "; of one-hot rows, give the argmax, of several labels a row choose one column"
        hint = hint if one_hot else ""
        raise ValueError(
            f"{name} have shape {array.shape}; ({n},) is needed, one label per row{hint}"
        )
    if array.dtype.kind in "OT":  # T: strings of any length
        array = _of_objects(array.astype(object), name)
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{name} hold bytes that are not UTF-8; {NEEDED}") from None
    if array.dtype.kind not in KINDS:
        raise ValueError(f"{name} hold {array.dtype}; {NEEDED}")
    return array


def _of_objects(array: np.ndarray, name: str) -> np.ndarray:
    """Returns Python objects of one kind as an array of it. Whole numbers stay objects if no type
    of NumPy holds them."""
    found = {_kind_of(value) for value in array}
    if found == {str} or found == {bool}:
        return array.astype(found.pop())
    if found == {int}:
        return array
    if found <= {int, float}:
        return array.astype(np.float64)
    types = ", ".join(sorted({type(value).__name__ for value in array}))
    raise ValueError(f"{name} hold Python objects ({types}); one kind is needed: {NEEDED}")


def _kind_of(value: Any) -> type:
    """Returns str, bool, int or float, or the type itself for any other object."""
    for kind, types in (
        (bool, (bool, np.bool_)),
        (int, (int, np.integer)),
        (float, (float, np.floating)),
        (str, str),
    ):
        if isinstance(value, types):
            return kind
    return type(value)


def _known(array: np.ndarray) -> np.ndarray:
    """Returns which labels are neither -1 nor NaN."""
    if array.dtype.kind not in "ifO":
        return np.ones(len(array), bool)
    known: np.ndarray = (array != -1) & (array == array)  # NaN is not equal to itself
    return known


def _require_values(array: np.ndarray, known: np.ndarray, name: str) -> None:
    """Raises ValueError for the first known label that is no class."""
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            faults = {
                "is not a finite number": ~np.isfinite(array),
                "is not whole, as in a regression target": array != np.trunc(array),
            }
    elif array.dtype.kind == "U":
        faults = {"is an empty string": np.char.strip(array) == ""}
    else:
        return
    for text, fault in faults.items():
        wrong = np.flatnonzero(fault & known)
        if len(wrong):
            at = int(wrong[0])
            raise ValueError(f"{name}: {array[at].item()!r} in row {at} {text}; {NEEDED}")
