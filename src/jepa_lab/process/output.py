"""Output whose reader closes the pipe, as `| head` does, and output that cannot show every
character."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class PatientOutput:
    """A stream that drops what it cannot write because its reader is gone, so that a run which
    prints to it continues to its end. All else is that of `stream`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes the text and returns its length."""
        try:
            self._stream.write(text)
        except BrokenPipeError:
            discard(self._stream)
        return len(text)

    def flush(self) -> None:
        """Writes what is buffered."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            discard(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def replace_unprintable() -> None:
    """Makes stdout and stderr print `?` for a character that their encoding lacks, as R² in
    ASCII. Otherwise the command would end with an error at that character."""
    for stream in (sys.stdout, sys.stderr):
        # None: closed; notebooks have streams of their own
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def patient_output() -> Iterator[None]:
    """Makes everything printed to stdout within the context survive the end of its reader."""
    stream = sys.stdout
    if stream is not None:  # None: stdout is closed
        sys.stdout = PatientOutput(stream)
    try:
        yield
    finally:
        if stream is not None:
            sys.stdout.flush()
            sys.stdout = stream


@contextmanager
def ignore_broken_pipe() -> Iterator[None]:
    """Ends the context quietly if the reader of stdout closes the pipe."""
    try:
        yield
    except BrokenPipeError:
        discard(sys.stdout)
    finally:
        try:
            if sys.stdout is not None:  # None: stdout is closed
                sys.stdout.flush()
        except BrokenPipeError:
            discard(sys.stdout)


def discard(stream: TextIO) -> None:
    """Connects the stream to nothing. Otherwise its buffer would raise again at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, stream.fileno())
    finally:
        os.close(null)
