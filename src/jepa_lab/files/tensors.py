"""Reads tensors that torch.save wrote, within limits. No other Python objects are unpickled."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jepa_lab.files import limits
from jepa_lab.files.archives import BROKEN, is_archive, open_archive, require_stored
from jepa_lab.files.limits import OverLimit, size_text

PROGRAM = "/data.pkl"  # the part that says how the tensors are put together


class OtherObjects(ValueError):
    """The file holds Python objects that are not loaded, since loading them may run code."""


def is_torch_file(path: Path) -> bool:
    """Returns whether a file is an archive of torch.save (PyTorch 1.6 or later)."""
    try:
        if not is_archive(path):
            return False
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(PROGRAM) for name in archive.namelist())
    except (OSError, *BROKEN):
        return False


def read_tensors(path: Path) -> Any:
    """Returns the content of an archive of torch.save on the CPU: tensors, and lists, tuples and
    mappings of tensors, numbers and text.

    Raises OverLimit for a file of more than limits.ARRAY_BYTES, for more than limits.TEXT_BYTES of
    the part that says how the tensors are put together, and for a tensor that claims more than the
    file has. Raises OtherObjects for any other Python object, ValueError for a damaged file, and
    OSError if it cannot be read.
    """
    size = limits.size_within(path, limits.ARRAY_BYTES)
    try:
        with open_archive(path) as archive:
            _check_parts(archive, size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sparse and quantised tensors, refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OverLimit, OSError):
        raise
    except Exception as error:  # torch raises many types for a broken file
        reason = str(error).split("\n", 1)[0][:80] or type(error).__name__
        if "weights" in str(error).lower() or "unsupported" in str(error).lower():
            raise OtherObjects(reason) from None
        raise ValueError(reason) from error
    _check_tensors(content, size)
    return content


def _check_parts(archive: zipfile.ZipFile, size: int) -> None:
    """Raises OverLimit or ValueError for an archive that torch.save does not write: it stores every
    part as it is, so that nothing can unpack to more."""
    parts = archive.infolist()
    if sum(info.file_size for info in parts) > size:
        raise OverLimit("parts that are compressed or overlap")
    largest = max((info.file_size for info in parts if info.filename.endswith(PROGRAM)), default=0)
    if largest > limits.TEXT_BYTES:
        raise OverLimit(f"{size_text(largest)} of objects; at most {size_text(limits.TEXT_BYTES)}")
    require_stored(archive)


def _check_tensors(content: Any, size: int) -> None:
    """Raises OverLimit for tensors that would take more memory than the file, such as an expanded
    view of one value. Values that lie inside themselves are visited once."""
    waiting, seen = [content], set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, Tensor):
            if node.is_nested:
                raise ValueError("a nested tensor")
            if node.layout != torch.strided or node.device.type != "cpu" or node.is_quantized:
                raise ValueError(f"a tensor of layout {node.layout} on {node.device}")
            if node.numel() * node.element_size() > size:
                raise OverLimit(
                    f"a tensor {tuple(node.shape)} of {node.dtype}, in a file of {size_text(size)}"
                )
        elif isinstance(node, dict | list | tuple) and id(node) not in seen:
            seen.add(id(node))
            waiting += node.values() if isinstance(node, dict) else node
