"""Code that all commands share: a parser with one-line errors, and the frame of a command with its
exit codes."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from jepa_lab.errors import UserError, nearest, say
from jepa_lab.process.output import ignore_broken_pipe, replace_unprintable
from jepa_lab.process.signals import ending_on_signals, stopped_by
from jepa_lab.process.system_errors import system_error_line

USER_ERROR, INTERRUPTED = 2, 130
RESUMES = ": the same command resumes it"

Number = TypeVar("Number", int, float)


class Parser(argparse.ArgumentParser):
    """A parser that raises UserError for a wrong command line, without the usage text. Options
    must not be abbreviated, and paths must not be empty."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        self.register("type", Path, _path)

    def error(self, message: str) -> NoReturn:
        raise UserError(with_hint(message, self))


def with_hint(message: str, parser: argparse.ArgumentParser) -> str:
    """Returns a message of argparse, with the nearest option for an unknown one."""
    start = "unrecognized arguments: -"
    if not message.startswith(start):
        return message
    options = [name for action in parser._actions for name in action.option_strings]
    name = message.removeprefix(start[:-1]).split()[0].partition("=")[0].replace("_", "-")
    close = nearest(name, [option for option in options if option.startswith("--")])
    return f"{message}{close}" if "did you mean" in close else message


def run_command(work: Callable[[], int | None], hint: str = "", needs_folder: bool = True) -> None:
    """Runs a command and exits with the code that `work` returns, 0 for None.

    A UserError, used-up memory, a full disk and an impossible path are printed as one line and exit
    with code 2. Ctrl-C exits with code 130 and SIGTERM with 143, both with the line "stopped",
    which ends with `hint`. If the reader closes the pipe, the command ends quietly. Characters that
    the output cannot show are replaced. A working directory that was deleted is an error unless
    `needs_folder` is false.
    """
    code = None
    replace_unprintable()
    with ending_on_signals() as received:
        try:
            if needs_folder:
                require_working_directory()
            with ignore_broken_pipe():
                code = work()
        except BaseException as error:
            code = _exit_code(error, received.stop(error), hint)
            if code is None:
                raise
    if code:
        raise SystemExit(code)


def _exit_code(error: BaseException, signal: int | None, hint: str) -> int | None:
    """Prints the line for an expected end of a command and returns its exit code. Returns None for
    any other end."""
    if signal is not None:
        say(stopped_by(signal, hint), prefix="")
        return 128 + signal
    line = str(error) if isinstance(error, UserError) else system_error_line(error)
    if line:
        say(line)
        return USER_ERROR
    return None


def require_working_directory() -> None:
    """Raises UserError if the working directory was deleted."""
    try:
        os.getcwd()
    except OSError:
        raise UserError(
            "the working directory no longer exists; change to another one, for example with cd ~"
        ) from None


def add_config_dir(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Adds the option `--config-dir`, the folder of user-defined code."""
    parser.add_argument(
        "--config-dir",
        type=Path,
        metavar="FOLDER",
        help="the folder of the run's user-defined code",
    )


def add_trust(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Adds the options `--config-dir` and `--trust`, which allow user-defined code that a run's
    configuration names."""
    add_config_dir(parser)
    parser.add_argument(
        "--trust",
        action="store_true",
        default=None,
        help="import the classes that the run's configuration names, wherever they are: only for a"
        " run whose maker you trust",
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


def not_empty(option: str, value: str | None) -> str | None:
    """Returns the value of an option for a path. Raises UserError for an empty one, which Python
    takes as the working directory."""
    if value is not None and not value.strip():
        raise UserError(f"{option}: the path is empty")
    return value


def _path(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)
