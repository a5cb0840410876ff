"""Records in status.json that a run of any study did not complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jepa_lab.errors import RunStopped
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.process.disk import UNWRITABLE, full_disk
from jepa_lab.process.memory import is_out_of_memory, out_of_memory


@contextmanager
def record_exit_status(run: RunDir, note: Callable[[str, str], None]) -> Iterator[None]:
    """Calls note(state, reason) for an interruption ("stopped") or any other exception ("failed").

    The exception is raised again, as a UserError if a file cannot be written. RunStopped is raised
    again without a note, since it is no failure.
    """
    try:
        yield
    except RunStopped:
        raise
    except (KeyboardInterrupt, SystemExit) as error:
        note("stopped", f"interrupted ({type(error).__name__})")
        raise
    except OSError as error:
        note("failed", f"{error.strerror or error}: {error.filename or 'a file'}")
        if error.errno in UNWRITABLE:
            raise run.unwritable(error) from error
        raise
    except Exception as error:
        cause = full_disk(error)
        if cause is not None:
            note("failed", str(run.unwritable(cause)))
            raise run.unwritable(cause) from error
        text = f"{type(error).__name__}: {error}"
        note("failed", out_of_memory() if is_out_of_memory(error) else text)
        raise
