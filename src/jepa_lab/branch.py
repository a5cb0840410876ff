"""python -m jepa_lab.branch RUN_DIR --at STEP: continues a run from an earlier state, unchanged or
with one thing changed."""

from __future__ import annotations

import argparse
from pathlib import Path

from jepa_lab.process.command import RESUMES, Parser, add_trust, import_from, positive, run_command


def main(argv: list[str] | None = None) -> None:
    """Makes the branches in `argv`."""
    run_command(lambda: _branch(_parser().parse_args(argv)), RESUMES)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m jepa_lab.branch",
        description=(
            "Continues a run from one of its earlier states, with overrides or without. Without"
            " --set the branch is a control, which has to reproduce the run to the bit. A branch is"
            " a run with a folder of its own beside its parent, and the same command resumes it."
        ),
    )
    parser.add_argument("run_dir", type=Path, help="for example runs/seq_jepa_shared/<run_id>")
    parser.add_argument(
        "--at",
        default="onset",
        metavar="STEP",
        help="340, 40%% of the steps, onset (of the verdict's failure), onset-100, end; the newest"
        " state at or before it is used (default: onset). 0: from the start",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="settings of the branch, as target=stopgrad or loss.lambda_rate=0.003",
    )
    parser.add_argument(
        "--seeds",
        type=positive,
        default=1,
        metavar="K",
        help="make K branches: the run's own draws of data and views, then K - 1 others",
    )
    add_trust(parser)
    return parser


def _branch(args: argparse.Namespace) -> int:
    from jepa_lab.cli.branching import make_branches  # imports Lightning, which is slow

    import_from(args.config_dir)
    return make_branches(args)


if __name__ == "__main__":
    main()
