"""python -m jepa_lab.check: what a command would do. Composes every job, lists them, checks data and keys."""

from __future__ import annotations

import sys
import tempfile

_USAGE = """\
python -m jepa_lab.check +experiment=NAME [group=option ...] [key=value ...]    takes the line of a run or a sweep

Lists every job with its run's id and state, reads the data, builds the models; trains and writes nothing.
Exit code 2 if a job could not run.
"""


def main(argv: list[str] | None = None) -> None:
    """The jobs of the command line `argv`, looked at and not run."""
    args = sys.argv[1:] if argv is None else argv
    if {"-h", "--help"} & set(args):
        print(_USAGE)
        return
    from jepa_lab.cli import app as cli

    if any(a.startswith("hydra/sweeper=") for a in args):
        sweeper = next(a for a in args if a.startswith("hydra/sweeper="))
        print(
            f"jepa_lab: {sweeper}: chooses its jobs while it runs; check one of them, with a value for every key",
            file=sys.stderr,
        )
        raise SystemExit(2)
    words = [
        a for a in args if a not in ("-m", "--multirun") and not a.startswith(("hydra/launcher=", "hydra.launcher."))
    ]
    with tempfile.TemporaryDirectory() as nowhere:
        cli.main(["-m", *words, "hydra/launcher=check", f"hydra.sweep.dir={nowhere}"])


if __name__ == "__main__":
    main()
