"""Prefixes the output lines of several processes with the name of their job."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO


class NamedLines(io.TextIOBase):
    """Writes whole lines to `stream`, each with the prefix `name`. It is no terminal, so no
    progress bars are drawn."""

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
        """Writes the rest that has no line break yet."""
        if self.rest:
            self.write("\n")


@contextmanager
def named_lines(name: str) -> Iterator[None]:
    """Prefixes every line printed within the context with `name`."""
    out, err = NamedLines(sys.stdout, name), NamedLines(sys.stderr, name)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        out.end()
        err.end()
