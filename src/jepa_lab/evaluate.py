"""python -m jepa_lab.evaluate RUN_DIR: evaluates the frozen encoder of a run."""

from __future__ import annotations

import argparse
from pathlib import Path

from jepa_lab.cli.options import BASELINE_ROWS, at_least_50, baseline_rows, numbers_of_views
from jepa_lab.process.command import Parser, add_trust, import_from, positive, run_command
from jepa_lab.process.ranks import numeric_ranks


def main(argv: list[str] | None = None) -> None:
    """Evaluates the run in `argv`."""
    parser = Parser(
        prog="python -m jepa_lab.evaluate",
        description=(
            "Freezes a run's encoder and measures what its features contain: classes by linear and"
            " nearest-neighbour readouts for several numbers of views, actions by regression,"
            " invariance, equivariance, factor sweeps and rollouts of the prediction. Writes"
            " RUN_DIR/evaluation.json and figures."
        ),
    )
    parser.add_argument("run_dir", type=Path, help="for example runs/teacherless_b/<run_id>")
    add_trust(parser)
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last")
    parser.add_argument(
        "--views",
        type=numbers_of_views,
        default=(1, 2, 3, 5),
        help="numbers of views behind z_agg, as 1,2,3,5",
    )
    parser.add_argument(
        "--rows",
        type=baseline_rows,
        default=BASELINE_ROWS,
        help=f"also evaluate: {','.join(BASELINE_ROWS)}, or none",
    )
    parser.add_argument(
        "--limit",
        type=at_least_50,
        default=10_000,
        help="maximum number of images of each split, at least 50",
    )
    parser.add_argument(
        "--anchors", type=positive, default=1000, help="number of test images in the factor sweeps"
    )
    parser.add_argument(
        "--ahead",
        type=positive,
        default=5,
        help="steps of the rollout in latent space (%(default)s)",
    )
    run_command(lambda: _evaluate(parser.parse_args(argv)))


def _evaluate(args: argparse.Namespace) -> None:
    from jepa_lab.ledger.staging import require_writable_run  # start-up

    require_writable_run(args.run_dir)
    with numeric_ranks():
        from jepa_lab.studies.seq_jepa.evaluation.command import evaluate_run  # start-up

    import_from(args.config_dir)
    evaluate_run(args)


if __name__ == "__main__":
    main()
