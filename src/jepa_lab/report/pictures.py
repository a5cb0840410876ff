"""The contents of a run's figures that its metrics lack, such as example views. They are kept in
pictures.pt, so that a run that was not drawn can be drawn later without its data."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from jepa_lab.errors import UserError
from jepa_lab.files.limits import OverLimit
from jepa_lab.files.tensors import read_tensors
from jepa_lab.ledger.atomic import write_atomic

NAME = "pictures.pt"


def write_pictures(folder: Path, pictures: Mapping[str, Any]) -> None:
    """Writes pictures.pt into a run's folder. `pictures` are tensors and plain data."""
    buffer = io.BytesIO()
    torch.save(dict(pictures), buffer)
    write_atomic(folder / NAME, buffer.getvalue())


def read_pictures(folder: Path) -> dict[str, Any]:
    """Returns the content of pictures.pt, {} without the file. Raises UserError if it cannot be
    read. No code in the file is executed."""
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        content = read_tensors(path)
    except (OSError, OverLimit, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: not the pictures of a run")
    return content
