"""python -m jepa_lab.diagnose RUN_DIR | features.npz: prints the verdict, its evidence and the next
commands to try."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.process.command import (
    RESUMES,
    Parser,
    add_config_dir,
    import_from,
    number_above_0,
    run_command,
)

# options that have an effect only with --investigate
OF_INVESTIGATION = ("max_runs", "max_hours", "seeds", "epochs", "config_dir", "out")


def main(argv: list[str] | None = None) -> None:
    """Diagnoses the run or the features in `argv`."""
    run_command(lambda: _diagnose(_parser().parse_args(argv)), RESUMES)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m jepa_lab.diagnose",
        description=(
            "Reports whether a run (finished, running or killed) collapsed, since when, the"
            " evidence, and what to try next. Writes RUN_DIR/diagnosis.json. For an .npz file with"
            " z (n, d) or (n, v, d), and optionally labels (n,) and codes, it judges the features."
        ),
    )
    parser.add_argument(
        "path",
        type=Path,
        help="a run's folder, for example runs/teacherless_b/<run_id>, or features.npz",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the content of diagnosis.json instead of text"
    )
    parser.add_argument(
        "--rules",
        choices=("ours", "published"),
        default="ours",
        help="published: also show the older thresholds",
    )
    of = parser.add_argument_group(
        "investigation",
        "for a failing run of the ARC study: makes runs that change one setting each, until one of"
        " them repairs the failure. The same command resumes an investigation. Exit code 0:"
        " answered, 1: not repaired within the limits",
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
        help="make every run with K seeds; the majority decides (1)",
    )
    of.add_argument(
        "--epochs", type=whole, metavar="N", help="epochs of every run; default: as the failing run"
    )
    add_config_dir(of)
    of.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to write; default: the run's folder"
    )
    return parser


def _diagnose(args: argparse.Namespace) -> int:
    from jepa_lab.cli.diagnosing import investigate, report_on  # start-up

    if args.investigate:
        import_from(args.config_dir)
        (text, content), code = investigate(args)
    else:
        lone = next((name for name in OF_INVESTIGATION if getattr(args, name) is not None), None)
        if lone is not None:
            raise UserError(f"--{lone.replace('_', '-')} belongs to --investigate")
        (text, content), code = report_on(args.path, args.rules), 0
    print(json.dumps(content, indent=2, allow_nan=False) if args.json else text)
    return code


if __name__ == "__main__":
    main()
