"""python -m jepa_lab.diagnose RUN_DIR | features.npz: prints the verdict, its evidence and the next
commands to try."""

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
            " evidence, and what to try next. Writes RUN_DIR/diagnosis.json. For a file with z"
            " (n, d) or (n, v, d), and optionally labels (n,), codes and codebook_size, it judges"
            " the features: .npz, .npy, .pth of tensors, .parquet or .csv."
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
    add_investigation(parser)
    return parser


def _diagnose(args: argparse.Namespace) -> int:
    from jepa_lab.cli.diagnosing import investigate, report_on  # start-up

    _require_file_or_folder(args.path)
    if args.investigate:
        import_from(args.config_dir)
        (text, content), code = investigate(args)
    else:
        refuse_without_investigate(args)
        (text, content), code = report_on(args.path, args.rules), 0
    print(json.dumps(content, indent=2, allow_nan=False) if args.json else text)
    return code


def _require_file_or_folder(path: Path) -> None:
    """Raises UserError for a pipe, a device or a link to one."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: a pipe or a device; give a run's folder or an .npz")


if __name__ == "__main__":
    main()
