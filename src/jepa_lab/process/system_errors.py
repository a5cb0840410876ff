"""Errors that are neither ours nor a mistake in a key: used-up memory, a full disk, a path that no
file can have."""

from __future__ import annotations

from jepa_lab.process.disk import cannot_write, full_disk
from jepa_lab.process.memory import is_out_of_memory, out_of_memory
from jepa_lab.process.paths import impossible_path


def system_error_line(error: BaseException) -> str:
    """Returns the line about such an error, "" for any other."""
    if is_out_of_memory(error):
        return out_of_memory()
    cause = full_disk(error)
    return impossible_path(error) if cause is None else cannot_write(cause)
