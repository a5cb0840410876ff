"""The variables in which schedulers number processes. Lightning reads them when it is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
IN_A_STEP = "SLURM_STEP_ID"  # of tasks that srun started
# launcher: the variables that say that it started the process, the number of processes, the rank
LAUNCHERS = {
    "torchrun": ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "RANK"),
    "srun": (IN_A_STEP, "SLURM_NTASKS", "SLURM_PROCID"),
}


class ProcessLost(Exception):
    """Another process of a run with several has ended. The same command resumes the run."""


def launched(processes: int) -> int | None:
    """Returns the rank of this process among `processes` (2 or more) that torchrun or srun started
    to train a run together. None if it is not one of so many."""
    for started, size, rank in LAUNCHERS.values():
        if started in os.environ and processes > 1 and os.environ.get(size) == str(processes):
            return int(os.environ.get(rank, "0"))
    return None


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
