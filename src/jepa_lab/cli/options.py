"""Adds groups of options to the parsers of the commands, and parses values for which argparse has
no type."""

from __future__ import annotations

import argparse
from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.process.command import add_trust, number_above_0, positive

# options that have an effect only with --investigate
OF_INVESTIGATION = ("max_runs", "max_hours", "seeds", "config_dir", "trust", "out")
BASELINE_ROWS = ("raw", "random", "supervised")
TOY_MODES = ("same", "ratio", "logspace", "from_tau", "auto")  # of lr_enc_mode


def add_investigation(parser: argparse.ArgumentParser) -> None:
    """Adds the option `--investigate` and the options that belong to it."""
    of = parser.add_argument_group(
        "investigation",
        "for a failed run: makes runs that change one setting each, to find those that prevent the"
        " failure, from a state before it and from the start. The same command resumes an"
        " investigation. Exit code 0: answered, or nothing to explain; 1: not repaired within the"
        " limits",
    )
    of.add_argument(
        "--investigate",
        action="store_true",
        help="make these runs and write investigation.{md,html,json}",
    )
    whole, real = number_above_0(int), number_above_0(float)
    of.add_argument(
        "--max-runs",
        type=whole,
        metavar="N",
        help="make at most N runs; finished runs do not count",
    )
    of.add_argument(
        "--max-hours", type=real, metavar="H", help="stop after H hours, even during a run"
    )
    of.add_argument(
        "--seeds",
        type=whole,
        metavar="K",
        help="try every change with K draws of data and views (default 3), twice as many where they"
        " disagree and for every change that prevents the failure",
    )
    add_trust(of)
    of.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to write; default: the run's folder"
    )


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Adds the option `--bundle`."""
    parser.add_argument(
        "--bundle",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="FILE.zip",
        help="also write a zip for a report to others: configuration, versions, verdict and the"
        " last metrics, without data, weights and secrets (default: jepa-lab-<name>.zip)",
    )


def refuse_without_investigate(args: argparse.Namespace) -> None:
    """Raises UserError for an option of an investigation that has no effect without
    `--investigate`."""
    lone = next((name for name in OF_INVESTIGATION if getattr(args, name) is not None), None)
    if lone is not None:
        raise UserError(f"--{lone.replace('_', '-')} belongs to --investigate")


def numbers_of_views(text: str) -> tuple[int, ...]:
    """Returns (1, 2, 5) for '1,5,2'."""
    return tuple(sorted({positive(number) for number in text.split(",")}))


def baseline_rows(text: str) -> tuple[str, ...]:
    """Returns the names in `text`, an empty tuple for 'none'. Raises ArgumentTypeError for an
    unknown name."""
    names = [] if text == "none" else text.split(",")
    for name in names:
        if name not in BASELINE_ROWS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(BASELINE_ROWS)}")
    return tuple(names)


def at_least_50(text: str) -> int:
    """Returns a number of images. Raises ArgumentTypeError below 50."""
    value = positive(text)
    if value < 50:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 50 images")
    return value


def add_toy_selection(parser: argparse.ArgumentParser) -> None:
    """Adds the options that select runs of the linear BYOL toy."""
    parser.add_argument(
        "--lr-enc-mode", choices=TOY_MODES, help="one mode only (default: all, one folder each)"
    )
    parser.add_argument(
        "--batches", type=positive, nargs="+", metavar="B", help="only these batch sizes"
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only runs with this setting",
    )


def with_dashes(arg: str) -> str:
    """Returns --lr_enc_mode as --lr-enc-mode. A value after = stays as it is."""
    name, equals, value = arg.partition("=")
    return (name.replace("_", "-") if name.startswith("--") else name) + equals + value
