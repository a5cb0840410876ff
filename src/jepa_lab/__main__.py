"""python -m jepa_lab, and `jepa-lab`: a run or a sweep, or with a verb one of the other commands.
python -m jepa_lab, and `jepa-lab`: a run or a sweep, or with a verb one of the other commands."""

from __future__ import annotations

import sys

from jepa_lab import __version__
from jepa_lab.cli.verbs import VERBS, run_verb
from jepa_lab.errors import say
from jepa_lab.process.command import INTERRUPTED, arguments, run_command


def main(argv: list[str] | None = None) -> None:
    """Entry point of both."""
    args = arguments(argv)
    if args and args[0] in VERBS:
        run_verb(args[0], args[1:])
    elif {"-h", "--help"} & set(args):
        from jepa_lab.cli.help import help_text  # start-up

        run_command(lambda: print(help_text()))
    elif "--version" in args:
        run_command(lambda: print(f"jepa-lab {__version__}"))
    else:
        _run(args)


def _run(args: list[str]) -> None:
    try:
        from jepa_lab.cli.app import main as run  # start-up: Hydra

        run(args)
    except KeyboardInterrupt:  # while it was still importing
        say("interrupted", prefix="")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
