"""python -m jepa_lab.check: shows what a command would do. It composes every job, lists the jobs,
and checks data and keys."""

from __future__ import annotations

import tempfile

from jepa_lab.errors import UserError
from jepa_lab.process.command import arguments, run_command

_USAGE = """\
python -m jepa_lab.check +experiment=NAME [group=option ...] [key=value ...]

Takes the arguments of a run or a sweep. Lists every job with the id and state of its run, reads the
data and builds the models. Trains nothing, and writes nothing but a cache of images that do not fit
into memory. With --config-dir FOLDER it also finds user-defined parts. It looks for no accelerator,
so that it can run on a login node: a run with hardware.accelerator=gpu is still refused where there
is none. Exit code 2 if a job could not run.
"""


def main(argv: list[str] | None = None) -> None:
    """Lists and checks the jobs of the command line `argv` without running them."""
    run_command(lambda: _check(arguments(argv)))


def _check(args: list[str]) -> None:
    if {"-h", "--help"} & set(args):
        print(_USAGE)
        return
    sweeper = next((a for a in args if a.startswith("hydra/sweeper=")), None)
    if sweeper is not None:
        raise UserError(
            f"{sweeper}: chooses its jobs while it runs; check a single job, with one value for"
            " every key"
        )
    multirun = ("-m", "--multirun", "hydra.mode=MULTIRUN")
    single = str(not any(a in multirun for a in args)).lower()
    overrides = [a for a in args if a not in multirun]
    overrides = [a for a in overrides if not a.startswith(("hydra/launcher=", "hydra.launcher."))]
    from jepa_lab.cli.app import main as run  # start-up: Hydra

    with tempfile.TemporaryDirectory() as nowhere:
        launcher = ["hydra/launcher=check", f"hydra.launcher.single={single}"]
        run(["-m", *overrides, *launcher, f"hydra.sweep.dir={nowhere}"])


if __name__ == "__main__":
    main()
