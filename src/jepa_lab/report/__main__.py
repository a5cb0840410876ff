"""python -m jepa_lab.report FOLDER ... | RUN_DIR: compares runs, or draws the page of one run."""

from __future__ import annotations

import argparse
from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.process.command import Parser, run_command


def main(argv: list[str] | None = None) -> None:
    """Runs the command with the arguments `argv`. None stands for those of the process."""
    run_command(lambda: _write(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m jepa_lab.report",
        description=(
            "Compares all runs below the folders, links followed: arms ranked by a metric, with"
            " paired differences to a control. Writes experiment_comparison_results.json,"
            " comparison_summary.txt, report.html and the best weights of every run below"
            " trained_models/. For the folder of one run it draws the run's figures and report.html"
            " there. With --serve it shows running sweeps in the browser."
        ),
    )
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="a folder that contains runs, e.g. runs, or the folder of one run",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help=(
            "output folder (default: comparison_results, or comparison_results_report if the first"
            " holds the comparison of a sweep)"
        ),
    )
    parser.add_argument(
        "--metric",
        metavar="KEY",
        help=(
            "metric that ranks the arms (default: the first of these that was measured:"
            " test/probe/class_from_z_agg, val/probe/class_from_z_agg, test/skill, val/skill)"
        ),
    )
    parser.add_argument(
        "--direction",
        choices=("max", "min"),
        help=(
            "whether high or low values are better (default: min for a loss or an error, max for a"
            " probe, a skill or a gain)"
        ),
    )
    parser.add_argument(
        "--control",
        metavar="ARM",
        help=(
            "the control: an arm, an experiment, or 'key=value key=value' (default: the arm without"
            " an auxiliary loss)"
        ),
    )
    parser.add_argument(
        "--group-by",
        metavar="KEY",
        nargs="+",
        default=[],
        help="settings whose values are compared separately, e.g. dataset or tier",
    )
    parser.add_argument(
        "--arm-key",
        metavar="KEY",
        nargs="+",
        default=[],
        help="settings that define the arms (default: all that differ)",
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="show the runs while they run, on a page of this machine; writes nothing",
    )
    parser.add_argument(
        "--port", type=int, metavar="N", help="port of --serve (default: any that is free)"
    )
    return parser


def _refuse_options(
    args: argparse.Namespace, what: str, known: tuple[str, ...] = ("folders",)
) -> None:
    """Raises UserError for an option of a comparison where nothing is compared."""
    given = [key for key, value in vars(args).items() if value and key not in known]
    if given:
        option = "--" + given[0].replace("_", "-")
        raise UserError(f"{what}; {option} is for a comparison of runs")


def default_folder(results: Path) -> Path:
    """Returns `results`, or RESULTS_report beside it if `results` holds the comparison of a sweep.

    The report and the weights of such a sweep are overwritten only if --out names their folder."""
    from jepa_lab.ledger.sweep_folder import FILE

    return results.with_name(f"{results.name}_report") if (results / FILE).is_file() else results


def _is_run(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    return (folder / "config.yaml").is_file() and (folder / "status.json").is_file()


def _write(args: argparse.Namespace) -> None:
    if args.serve:
        from jepa_lab.report.serve import serve  # start-up

        _refuse_options(args, "--serve shows runs as they are", ("folders", "serve", "port"))
        serve(args.folders, args.port or 0)
        return
    if args.port is not None:
        raise UserError("--port belongs to --serve")
    if len(args.folders) == 1 and _is_run(args.folders[0]):
        from jepa_lab.cli.reporting import draw_page  # imports Lightning, which is slow

        _refuse_options(args, f"{args.folders[0]}: one run")
        print(f"page:    {draw_page(args.folders[0])}")
        return
    from jepa_lab.report.comparison.report import ReportRequest, write_report

    request = ReportRequest(
        args.metric, args.direction, args.control, tuple(args.group_by), tuple(args.arm_key)
    )
    written = write_report(
        args.folders, args.out or default_folder(Path("comparison_results")), request
    )
    print(written.text)
    print("written:")
    for path in written.paths:
        print(f"  {path}")


if __name__ == "__main__":
    main()
