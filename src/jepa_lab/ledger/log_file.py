"""The log of a run, run.log. It never ends the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jepa_lab.ledger.run_dir import RunDir


class LogFile(logging.FileHandler):
    """Appends log messages to a file, which is made with the first one. A message that cannot be
    written, for example on a full disk, is dropped."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - a name of logging
        """Does nothing. The base class prints a traceback."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def log_file(run: RunDir) -> Iterator[None]:
    """Copies the log messages of jepa_lab into the run's folder until the context ends."""
    log = LogFile(run.path / "run.log", delay=True, encoding="utf-8")
    logging.getLogger("jepa_lab").addHandler(log)
    try:
        yield
    finally:
        logging.getLogger("jepa_lab").removeHandler(log)
        log.close()
