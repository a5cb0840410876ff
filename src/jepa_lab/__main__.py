"""Entry point of `python -m jepa_lab` and `jepa-lab`: trains a run or a sweep, or runs the command
of a verb."""

from __future__ import annotations

from jepa_lab import __version__
from jepa_lab.cli.verbs import VERBS, run_verb, unknown_verb
from jepa_lab.process.command import RESUMES, arguments, run_command
from jepa_lab.process.output import patient_output


def main(argv: list[str] | None = None) -> None:
    """Runs the command line `argv`. None means the arguments of the process."""
    args = arguments(argv)
    if args and args[0] in VERBS:
        run_verb(args[0], args[1:])
    elif {"-h", "--help"} & set(args):
        from jepa_lab.cli.help import help_text  # start-up

        run_command(lambda: print(help_text()), needs_folder=False)
    elif "--version" in args:
        run_command(lambda: print(f"jepa-lab {__version__}"), needs_folder=False)
    elif args and args[0].isidentifier():
        run_command(lambda: unknown_verb(args[0]))
    else:
        run_command(lambda: _run(args), RESUMES)


def _run(args: list[str]) -> None:
    from jepa_lab.cli.app import main as run  # start-up: Hydra

    with patient_output():
        run(args)


if __name__ == "__main__":
    main()
