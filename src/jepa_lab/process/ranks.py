"""The variables in which schedulers number processes. Lightning reads them when it is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


@contextmanager
def numeric_ranks() -> Iterator[None]:
    """Hides variables of ranks that are not whole numbers until the context ends. Lightning and
    torchmetrics cannot be imported with them.

    They are empty where a script copies the variable of a scheduler, as `RANK=$SLURM_PROCID`, and
    is run outside it.
    """
    hidden = {name: os.environ.pop(name) for name in RANKS if not _whole(os.environ.get(name))}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _whole(text: str | None) -> bool:
    try:
        int("0" if text is None else text)
    except ValueError:
        return False
    return True
