"""python -m jepa_lab.report RUNS_DIR: runs compared, with what the difference between them shows
and does not."""

from __future__ import annotations

import argparse
from pathlib import Path

from jepa_lab.process.command import Parser, run_command


def main(argv: list[str] | None = None) -> None:
    """Compares what `argv` names."""
    run_command(lambda: _write(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m jepa_lab.report",
        description=(
            "Compares all runs below RUNS_DIR: arms ranked by a metric, with paired differences to"
            " a control. Writes experiment_comparison_results.json, comparison_summary.txt,"
            " report.html and the best weights of every run below trained_models/."
        ),
    )
    parser.add_argument(
        "runs_dir", type=Path, metavar="RUNS_DIR", help="a folder with runs below it, as runs"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="where to write (comparison_results, or beside it where a sweep has its comparison)",
    )
    parser.add_argument(
        "--metric",
        metavar="KEY",
        help="to rank by (test/probe/class_from_z_agg, else test/skill, else those of val)",
    )
    parser.add_argument(
        "--direction",
        choices=("max", "min"),
        help="what is better (min for a loss or error, max for a probe, a skill or a gain)",
    )
    parser.add_argument(
        "--control",
        metavar="ARM",
        help="an arm, an experiment, or 'key=value key=value' (that without an auxiliary loss)",
    )
    parser.add_argument(
        "--group-by", metavar="KEY", nargs="+", default=[], help="compare apart, as dataset or tier"
    )
    parser.add_argument(
        "--arm-key", metavar="KEY", nargs="+", default=[], help="the setting that tells arms apart"
    )
    return parser


def default_folder(results: Path) -> Path:
    """`results`, or beside it RESULTS_report where a sweep that chose weights has its own: its
    report and the weights of its runs are not replaced by those of others unless --out says so."""
    from jepa_lab.ledger.sweep_folder import FILE

    return results.with_name(f"{results.name}_report") if (results / FILE).is_file() else results


def _write(args: argparse.Namespace) -> None:
    from jepa_lab.report.comparison.report import ReportRequest, write_report

    request = ReportRequest(
        args.metric, args.direction, args.control, tuple(args.group_by), tuple(args.arm_key)
    )
    written = write_report(
        args.runs_dir, args.out or default_folder(Path("comparison_results")), request
    )
    print(written.text)
    print("written:")
    for path in written.paths:
        print(f"  {path}")


if __name__ == "__main__":
    main()
