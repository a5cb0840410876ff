"""python -m jepa_lab.bench [FILE]: scores the verdict, single metrics and a user's own rules on
labelled runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from jepa_lab.process.command import Parser, run_command


def main(argv: list[str] | None = None) -> None:
    """Scores the rules that `argv` selects."""
    run_command(lambda: _bench(_parser().parse_args(argv)))


def _parser() -> Parser:
    parser = Parser(
        prog="python -m jepa_lab.bench",
        description=(
            "Counts false alarms and misses of the verdict, of single metrics and of your own rules"
            " on the labelled runs of the benchmark, with thresholds fitted on other data sets,"
            " networks or methods than those they are judged on. See docs/collapse_bench.md."
        ),
    )
    parser.add_argument(
        "file", type=Path, nargs="?", help="a Parquet table of runs (default: the shipped one)"
    )
    parser.add_argument(
        "--rule",
        action="append",
        default=[],
        metavar="MODULE:FUNCTION",
        help="your function from a history {metric: [(step, value)]} to a status; can be repeated."
        " The module is imported from the working directory, too",
    )
    parser.add_argument(
        "--by",
        action="append",
        choices=("data", "network", "method"),
        help="the group that is left out (default: each of the three in turn)",
    )
    parser.add_argument("--wrong", metavar="RULE", help="also list the runs that a rule got wrong")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")
    return parser


def _bench(args: argparse.Namespace) -> None:
    from jepa_lab.errors import UserError, nearest  # start-up
    from jepa_lab.report.collapse_bench.rules import user_rule
    from jepa_lab.report.collapse_bench.runs import GROUPS, SHIPPED, load_runs
    from jepa_lab.report.collapse_bench.score import score
    from jepa_lab.report.collapse_bench.text import report

    own = [user_rule(place) for place in dict.fromkeys(args.rule)]
    scores = score(load_runs(args.file or SHIPPED), own, tuple(args.by or GROUPS))
    if args.wrong is not None and args.wrong not in scores["rules"]:
        raise UserError(f"--wrong {args.wrong}: no such rule{nearest(args.wrong, scores['rules'])}")
    print(json.dumps(scores, indent=2) if args.json else report(scores, args.wrong or ""))


if __name__ == "__main__":
    main()
