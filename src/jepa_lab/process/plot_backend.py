"""MPLBACKEND, the variable from which matplotlib takes its backend when it is imported. Lightning's
metrics import matplotlib too.

The kernel of a notebook sets it to a module of its own, and shells started from the notebook
inherit it. With a module that is not installed here, matplotlib cannot be imported.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from jepa_lab.process.early import starts_a_command

NAME = "MPLBACKEND"
MODULE = "module://"


def make_importable(command: bool) -> None:
    """Sets MPLBACKEND so that matplotlib can be imported. A command writes figures to files and
    needs no window: it gets `agg`. Elsewhere a module that cannot be found is removed."""
    backend = os.environ.get(NAME)
    if not backend:
        return
    if command:
        os.environ[NAME] = "agg"
    elif backend.startswith(MODULE) and not _found(backend.removeprefix(MODULE)):
        del os.environ[NAME]


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


make_importable(starts_a_command(sys.orig_argv))
