"""A lock that is held while a process trains a run. The system releases it however its holder
dies."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from jepa_lab.errors import RunBusy
from jepa_lab.ledger.own_files import LOCK
from jepa_lab.ledger.run_dir import RunDir


@contextmanager
def lock(run: RunDir) -> Iterator[None]:
    """Locks the run's folder, which must exist. Raises RunBusy if another process holds the lock.

    On a file system without locks status.json decides: the run is busy if its state is running, see
    RunDir.state.
    """
    holder = FileLock(run.path / LOCK, timeout=0)
    try:
        holder.acquire()
    except Timeout:
        raise _busy(run) from None
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (
            errno.ENOLCK,
            errno.ENOTSUP,
            errno.ENOSYS,
        ):
            raise run.unwritable(error) from None
        if run.state() == "running":
            raise _busy(run) from None
    try:
        yield
    finally:
        holder.release()


def _busy(run: RunDir) -> RunBusy:
    status = run.status() or {}
    who = (
        f"process {status.get('pid')} on {status.get('host')}"
        if status.get("state") == "running"
        else "a process"
    )
    return RunBusy(f"{run.path}: {who} is working on this run; wait, or give another runs_dir")
