"""Lines of several processes in one output, each with the job that it is from."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO


class NamedLines(io.TextIOBase):
    """Writes whole lines to `stream`, `name` before each. It is no terminal, so nothing draws bars
    into it."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self.stream, self.name, self.rest = stream, name, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        if lines:
            self.stream.write("".join(f"{self.name}{line}\n" if line else "\n" for line in lines))
            self.stream.flush()
        return len(text)

    def isatty(self) -> bool:
        return False

    def end(self) -> None:
        """Writes what has no end of line yet."""
        if self.rest:
            self.write("\n")


@contextmanager
def named_lines(name: str) -> Iterator[None]:
    """Within, every line that is printed begins with `name`."""
    out, err = NamedLines(sys.stdout, name), NamedLines(sys.stderr, name)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        out.end()
        err.end()
