"""Code that all commands share: a parser with one-line errors, exit codes, and the handling of
interruptions and broken pipes."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from jepa_lab.errors import UserError, say

USER_ERROR, INTERRUPTED = 2, 130
RESUMES = "interrupted: the same command resumes it"

Number = TypeVar("Number", int, float)


class Parser(argparse.ArgumentParser):
    """A parser that raises UserError for a wrong command line, without the usage text. Options
    must not be abbreviated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def run_command(work: Callable[[], int | None], interrupted: str = "interrupted") -> None:
    """Runs a command and exits with the code that `work` returns, 0 for None.

    A UserError is printed as one line and exits with code 2. Ctrl-C prints `interrupted` and exits
    with code 130. If the reader closes the pipe, the command ends quietly.
    """
    code = None
    try:
        with ignore_broken_pipe():
            code = work()
    except UserError as error:
        say(str(error))
        raise SystemExit(USER_ERROR) from None
    except KeyboardInterrupt:
        say(interrupted, prefix="")
        raise SystemExit(INTERRUPTED) from None
    if code:
        raise SystemExit(code)


@contextmanager
def ignore_broken_pipe() -> Iterator[None]:
    """Ends quietly if the reader closes the pipe, as `| head` does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def add_config_dir(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Adds the option `--config-dir`, the folder of user-defined code."""
    parser.add_argument(
        "--config-dir",
        type=Path,
        metavar="FOLDER",
        help="the folder of the run's user-defined code",
    )


def import_from(folder: Path | None) -> None:
    """Makes the Python files of a user's folder importable. Raises UserError if the folder is
    missing."""
    if folder is None:
        return
    if not folder.is_dir():
        raise UserError(f"--config-dir {folder}: no such folder")
    if str(folder.absolute()) not in sys.path:
        sys.path.append(str(folder.absolute()))


def arguments(argv: Sequence[str] | None) -> list[str]:
    """Returns `argv`, or the arguments of this process if it is None."""
    return list(sys.argv[1:] if argv is None else argv)


def number_above_0(kind: Callable[[str], Number]) -> Callable[[str], Number]:
    """Returns the argparse type of a finite number above 0; `kind` is int or float. The type
    raises ArgumentTypeError for any other text."""

    def read(text: str) -> Number:
        value: Number | None = None
        with suppress(ValueError):
            value = kind(text)
        if value is None or not 0 < value < math.inf:
            whole = "whole " if kind is int else ""
            raise argparse.ArgumentTypeError(f"{text!r}: expected a {whole}number above 0")
        return value

    return read


positive = number_above_0(int)
