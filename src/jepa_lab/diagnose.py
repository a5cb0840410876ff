"""python -m jepa_lab.diagnose RUN_DIR | LOG | features.npz: prints the verdict, its evidence and
what to try next."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from jepa_lab.cli.options import add_investigation, refuse_without_investigate
from jepa_lab.errors import UserError
from jepa_lab.process.command import RESUMES, Parser, import_from, run_command


def main(argv: list[str] | None = None) -> None:
    """Diagnoses the run or the features in `argv`."""
    run_command(lambda: _diagnose(_parser().parse_args(argv)), RESUMES)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m jepa_lab.diagnose",
        description=(
            "Reports whether a run (finished, running or killed) collapsed, since when, the"
            " evidence, and what to try next. Writes RUN_DIR/diagnosis.json. Of other code it reads"
            " logs with the metrics of CollapseMonitor (Parquet ledger, CSV, TensorBoard, W&B) and"
            " features (n, d) or (n, v, d): .npz, .npy, .pth of tensors, .safetensors, HDF5,"
            " Parquet, Feather or CSV, optionally with labels (n,), codes and codebook_size."
        ),
    )
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="a run's folder, for example runs/teacherless_b/<run_id>, a log, or features.npz;"
        " several files of features in order, or a folder of them, are a trend",
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
    parser.add_argument(
        "--bundle",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="FILE.zip",
        help="also write a zip for a report to others: configuration, versions, verdict and the last"
        " metrics, without data, weights and secrets (default: jepa-lab-<name>.zip)",
    )
    add_investigation(parser)
    return parser


def _diagnose(args: argparse.Namespace) -> int:
    from jepa_lab.cli.diagnosing import bundle, investigation_of, one_path, report_on  # start-up

    if args.investigate:
        if args.bundle is not None:
            raise UserError("--bundle and --investigate are two commands; investigate first")
        args.path = one_path(args.paths)
        import_from(args.config_dir)
        (text, content), code = investigation_of(args)
    else:
        refuse_without_investigate(args)
        code = 0
        if args.bundle is None:
            text, content = report_on(args.paths, args.rules)
        else:
            out = args.bundle if args.bundle != Path() else None
            text, content = bundle(args.paths, args.rules, out)
    print(json.dumps(content, indent=2, allow_nan=False) if args.json else text)
    return code


if __name__ == "__main__":
    main()
