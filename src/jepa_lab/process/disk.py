"""Errors of files that cannot be written, above all on a full disk."""

from __future__ import annotations

import errno
from collections.abc import Iterator

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNWRITABLE = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EIO)
# parts of messages of C++ streams, which do not say why a file cannot be written
OF_STREAMS = ("basic_ios::clear", "PytorchStreamWriter failed", "inline_container.cc")


def full_disk(error: BaseException) -> OSError | None:
    """Returns the error of a disk without room that `error` is or comes from, None for any other.

    Libraries raise errors of their own for it. A RuntimeError of a C++ stream, as torch raises,
    becomes an OSError with its text.
    """
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in FULL:
            return one
    text = str(error).split("\n", 1)[0]
    if isinstance(error, RuntimeError) and any(part in text for part in OF_STREAMS):
        return OSError(errno.EIO, f"{text}; is the disk full?")
    return None


def cannot_write(error: OSError, place: object = "a file") -> str:
    """Returns the line for a file that cannot be written. `place` is named if the error names no
    file."""
    place = error.filename2 or error.filename or place
    return f"cannot write {place} ({error.strerror or error}){advice(error)}"


def advice(error: OSError) -> str:
    """Returns the end of a message that says what to do about a file that cannot be written."""
    if error.errno in (*FULL, errno.EIO):
        return "; written files are intact: free some space, and the same command resumes the run"
    return "; give a writable folder"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and those from which it was raised."""
    one: BaseException | None = error
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__
