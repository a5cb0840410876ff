"""Features in a table with one column for each dimension."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jepa_lab.errors import UserError
from jepa_lab.files.columns import DELIMITERS, counts_columns, has_no_names
from jepa_lab.report.feature_names import listed

DIGITS = "0123456789"
SHOWN = 5  # columns that a line names
KINDS = {"i": "whole numbers", "u": "whole numbers", "O": "text", "b": "true or false"}


def dimensions_of(columns: Mapping[str, np.ndarray], path: Path) -> tuple[np.ndarray, str]:
    """Returns the features (n, d) in columns, and a remark that names them and what was left out.

    The dimensions are the columns of fractions, and those of whole numbers that are called like
    them but for the number. Raises UserError for fewer than two of them.
    """
    dimensions = _dimensions(columns, path)
    lists = any(column.ndim > 1 for column in columns.values())
    if len(dimensions) < 2 or lists:
        raise UserError(
            f"no column of features; it has {listed(columns)}; a column embedding of lists of"
            " numbers, or one column of fractions for each dimension, is needed"
        )
    z = np.stack([columns[name] for name in dimensions], axis=1)
    remark = f"z is the {len(dimensions)} columns {dimensions[0]} to {dimensions[-1]}"
    if path.suffix.lower() in DELIMITERS and counts_columns(dimensions):
        remark += "; the first line is read as their names, as pandas numbers columns"
    dropped = [f"{n} ({_kind(x)})" for n, x in columns.items() if n not in dimensions]
    if dropped:
        more = f" and {len(dropped) - SHOWN} more" if len(dropped) > SHOWN else ""
        remark += f"; left out: {', '.join(dropped[:SHOWN])}{more}"
    return z, remark


def _dimensions(columns: Mapping[str, np.ndarray], path: Path) -> list[str]:
    """Returns the names of the columns that are dimensions.

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


def _kind(column: np.ndarray) -> str:
    return KINDS.get(column.dtype.kind, str(column.dtype))
