"""Ends worker processes whose parent is gone, killed for example.

Imports only the standard library, since every worker imports it when it starts.
"""

from __future__ import annotations

import os
import threading
import time

LOOK_EVERY_S = 0.5
GRACE_S = 4.0  # time for a run to stop at its next step with a checkpoint


def end_with_parent(parent: int, grace_s: float = GRACE_S) -> None:
    """Ends this process `grace_s` seconds after the process `parent`, which started it, is gone.

    A daemon thread watches. The end is that of a kill: files are whole, since every file is written
    to a temporary one first. Does nothing on Windows, where a process keeps its parent's id.
    """
    if os.name == "posix":
        threading.Thread(target=_watch, args=(parent, grace_s), daemon=True).start()


def _watch(parent: int, grace_s: float) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    time.sleep(grace_s)
    os._exit(1)


def parent_gone(parent: int) -> str | None:
    """Returns a reason to stop once `parent` is no longer the parent of this process, else None."""
    return "the command of the sweep is gone" if os.getppid() != parent else None
