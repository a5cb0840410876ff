"""Reads .safetensors files within limits. The format holds tensors and text, and no objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from jepa_lab.files import limits
from jepa_lab.files.arrays import Header
from jepa_lab.files.extras import import_extra
from jepa_lab.files.limits import OverLimit, size_text

KINDS = {"F": "f", "B": "f", "I": "i", "U": "u", "C": "c"}  # first letter of a type -> its kind


def safetensors_headers(path: Path) -> dict[str, Header]:
    """Returns the shapes of all tensors by name. Raises as `read_safetensors` does."""
    with _opened(path) as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        return {
            name: Header(tuple(part.get_shape()), _kind(part.get_dtype()))
            for name, part in parts.items()
        }


def read_safetensors(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Returns these tensors of a .safetensors file.

    Raises OverLimit for a file of more than limits.ARRAY_BYTES. Raises ValueError for a damaged
    file, such as one whose header claims more than it has, OSError if it cannot be read, and
    UserError if the package safetensors is missing.
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in names}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    size = limits.size_within(path, limits.ARRAY_BYTES)
    library = import_extra("safetensors", "files")
    try:
        # the package compares the header with the size of the file
        with library.safe_open(str(path), framework="pt", device="cpu") as file:
            yield file
    except (OverLimit, OSError):
        raise
    except MemoryError:
        raise OverLimit(f"{size_text(size)}, more than the memory of this machine") from None
    except Exception as error:  # SafetensorError, and what torch raises for a type that it lacks
        raise ValueError((str(error).splitlines() or [type(error).__name__])[0][:80]) from None


def _kind(name: str) -> str:
    """Returns the kind of a type as NumPy calls it, for example f for BF16."""
    return "b" if name == "BOOL" else KINDS.get(name[:1], "O")
