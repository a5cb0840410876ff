"""python -m jepa_lab.diagnose RUN_DIR | LOG | features.npz: prints the verdict, its evidence and
what to try next."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from jepa_lab.cli.options import add_bundle, add_investigation, refuse_without_investigate
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
    add_bundle(parser)
    add_investigation(parser)
    return parser


def _diagnose(args: argparse.Namespace) -> int:
    from jepa_lab.cli.diagnosing import investigation_of, one_path, reported  # start-up

    if args.investigate:
        args.path = one_path(args.paths)
        import_from(args.config_dir)
        (text, content), code = investigation_of(args)
    else:
        refuse_without_investigate(args)
        (text, content), code = reported(args), 0
    print(json.dumps(content, indent=2, allow_nan=False) if args.json else text)
    return code


if __name__ == "__main__":
    main()
