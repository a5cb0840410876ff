"""python -m jepa_lab.diagnose RUN_DIR | features.npz: the verdict, what it stands on, and what to
try next."""

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

# options without effect otherwise
OF_INVESTIGATION = ("max_runs", "max_hours", "seeds", "epochs", "config_dir", "out")


def main(argv: list[str] | None = None) -> None:
    """Diagnoses what `argv` names."""
    run_command(lambda: _diagnose(_parser().parse_args(argv)), RESUMES)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m jepa_lab.diagnose",
        description=(
            "Says of a run (finished, running or killed) whether it collapsed, since when, on which"
            " evidence and what to try next; writes RUN_DIR/diagnosis.json. Of an .npz with z (n,"
            " d) or (n, v, d), and perhaps labels (n,) and codes, it judges the features."
        ),
    )
    parser.add_argument(
        "path", type=Path, help="a run's folder, as in runs/teacherless_b/<run_id>, or features.npz"
    )
    parser.add_argument(
        "--json", action="store_true", help="print what diagnosis.json holds instead of text"
    )
    parser.add_argument(
        "--rules",
        choices=("ours", "published"),
        default="ours",
        help="also show the older thresholds",
    )
    of = parser.add_argument_group(
        "investigation",
        "of a failing run of the ARC study: runs that change one thing each, up to the first"
        " repair; the same command resumes it. Exit code 0: answered, 1: not repaired within the"
        " limits",
    )
    of.add_argument(
        "--investigate",
        action="store_true",
        help="make those runs and write investigation.{md,html,json}",
    )
    whole, real = number_above_0(int), number_above_0(float)
    of.add_argument(
        "--max-runs",
        type=whole,
        metavar="N",
        help="make at most N runs; finished ones do not count",
    )
    of.add_argument(
        "--max-hours", type=real, metavar="H", help="stop after H hours, also within a run"
    )
    of.add_argument(
        "--seeds", type=whole, metavar="K", help="make every run K times; what most show holds (1)"
    )
    of.add_argument(
        "--epochs", type=whole, metavar="N", help="of every run; as the failing run by default"
    )
    add_config_dir(of)
    of.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to write; the run's folder by default"
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
