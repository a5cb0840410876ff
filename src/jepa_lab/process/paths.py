"""Errors of paths that no file can have."""

from __future__ import annotations

import errno
import os

WHY = {
    errno.ENAMETOOLONG: "the path, or a name in it, is longer than the system allows",
    errno.ELOOP: "its links lead in a circle",
    errno.ENOTDIR: "a part of this path is a file, a folder is needed",
}
SHOWN = 100  # characters of a path in a message
OF_PATHLIB = "Symlink loop from "


def impossible_path(error: BaseException) -> str:
    """Returns the line about a path that is too long, that leads through a file, or whose links
    lead in a circle. Returns "" for any other error."""
    if isinstance(error, RuntimeError) and str(error).startswith(OF_PATHLIB):
        place = str(error).removeprefix(OF_PATHLIB).strip("'")
        return f"{shortened(place)}: {WHY[errno.ELOOP]}"
    if not isinstance(error, OSError) or error.errno not in WHY or error.filename is None:
        return ""
    return f"{shortened(os.fsdecode(error.filename))}: {WHY[error.errno]}"


def shortened(path: str) -> str:
    """Returns a path for a message, without the middle of a long one."""
    if len(path) <= SHOWN:
        return path
    return f"{path[:40]}...{path[-20:]} ({len(path):,} characters)"
