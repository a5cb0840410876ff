"""The frame that all commands share: a parser whose errors are one line, exit codes, interruptions,
broken pipes."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from jepa_lab.errors import UserError, say

USER_ERROR, INTERRUPTED = 2, 130
RESUMES = "interrupted: the same command resumes it"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are UserErrors: one line, without the usage; no option may be
    shortened."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def run_command(work: Callable[[], int | None], interrupted: str = "interrupted") -> None:
    """Does the work of a command and exits with its code, 0 for None. A UserError is one line and
    code 2, Ctrl-C the line `interrupted` and code 130; a reader that closes the pipe ends the
    command without a word."""
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
    """Ends quietly where the reader of a pipe has closed it, as `| head` does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def add_config_dir(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Adds the option that names a user's own folder."""
    parser.add_argument(
        "--config-dir",
        type=Path,
        metavar="FOLDER",
        help="of a run with parts of your own: where their code lies",
    )


def import_from(folder: Path | None) -> None:
    """Lets the Python files of a user's folder be imported. UserError where there is no such
    folder."""
    if folder is None:
        return
    if not folder.is_dir():
        raise UserError(f"--config-dir {folder}: no such folder")
    if str(folder.absolute()) not in sys.path:
        sys.path.append(str(folder.absolute()))


def arguments(argv: Sequence[str] | None) -> list[str]:
    """The arguments of a command: those given, else the process's own."""
    return list(sys.argv[1:] if argv is None else argv)


def number_above_0(kind: Callable[[str], float]) -> Callable[[str], float]:
    """The type of an option that takes a finite number of this kind above 0."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(
                f"{text}: a {'whole ' if kind is int else ''}number above 0"
            )
        return value

    return read


def positive(text: str) -> int:
    """A whole number above 0. ArgumentTypeError for anything else."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return value
