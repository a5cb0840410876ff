"""Entry point of `python -m jepa_lab` and `jepa-lab`: trains a run or a sweep, or runs the command
of a verb."""

from __future__ import annotations

import sys

from jepa_lab import __version__
from jepa_lab.cli.verbs import VERBS, run_verb, unknown_verb
from jepa_lab.errors import say
from jepa_lab.process.command import INTERRUPTED, arguments, run_command


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`. None means the arguments of the process."""
    args = arguments(argv)
    if args and args[0] in VERBS:
        run_verb(args[0], args[1:])
    elif {"-h", "--help"} & set(args):
        from jepa_lab.cli.help import help_text  # start-up

        run_command(lambda: print(help_text()))
    elif "--version" in args:
        run_command(lambda: print(f"jepa-lab {__version__}"))
    elif args and args[0].isidentifier():
        run_command(lambda: unknown_verb(args[0]))
    else:
        _run(args)


def _run(args: list[str]) -> None:
    try:
        from jepa_lab.cli.app import main as run  # start-up: Hydra

        run(args)
    except KeyboardInterrupt:  # during the imports
        say("interrupted", prefix="")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
