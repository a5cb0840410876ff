"""python -m jepa_lab.check: what a command would do. Composes every job, lists them, checks data
and keys."""

from __future__ import annotations

import tempfile

from jepa_lab.errors import UserError
from jepa_lab.process.command import arguments, run_command

_USAGE = """\
python -m jepa_lab.check +experiment=NAME [group=option ...] [key=value ...]

Takes the line of a run or a sweep. Lists every job with its run's id and state, reads the data,
builds the models; trains and writes nothing.
Exit code 2 if a job could not run.
"""


def main(argv: list[str] | None = None) -> None:
    """The jobs of the command line `argv`, looked at and not run."""
    run_command(lambda: _check(arguments(argv)))


def _check(args: list[str]) -> None:
    if {"-h", "--help"} & set(args):
        print(_USAGE)
        return
    sweeper = next((a for a in args if a.startswith("hydra/sweeper=")), None)
    if sweeper is not None:
        raise UserError(
            f"{sweeper}: chooses its jobs while it runs; check one of them, with a value for"
            " every key"
        )
    words = [a for a in args if a not in ("-m", "--multirun")]
    words = [a for a in words if not a.startswith(("hydra/launcher=", "hydra.launcher."))]
    from jepa_lab.cli.app import main as run  # start-up: Hydra

    with tempfile.TemporaryDirectory() as nowhere:
        run(["-m", *words, "hydra/launcher=check", f"hydra.sweep.dir={nowhere}"])


if __name__ == "__main__":
    main()
