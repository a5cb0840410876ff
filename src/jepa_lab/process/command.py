"""Command lines: a parser whose errors are one line, and types of options."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from jepa_lab.errors import UserError


class Parser(argparse.ArgumentParser):
    """One whose errors are UserErrors: one line, without the usage; no option may be shortened."""

    def __init__(self, **given: Any) -> None:
        super().__init__(allow_abbrev=False, **given)

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def positive(text: str) -> int:
    """A whole number above 0. ArgumentTypeError for anything else."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return value


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Whoever read the output has enough when the pipe is closed: the command ends there, and says nothing of it."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
