"""python -m jepa_lab.evaluate RUN_DIR: the frozen evaluation of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.process.command import Parser, positive, reader_may_leave

ROWS = ("raw", "random", "supervised")


def main(argv: list[str] | None = None) -> None:
    """Evaluates the run in `argv`; exit code 2 with one line for what cannot be evaluated."""
    parser = Parser(
        prog="python -m jepa_lab.evaluate",
        description="Freezes a run's encoder and measures what its features hold: classes by linear and "
        "nearest-neighbour readouts for several numbers of views, actions by regression, invariance, equivariance, "
        "factor sweeps, rollouts of the prediction. Writes RUN_DIR/evaluation.json and figures.",
    )
    parser.add_argument("run_dir", type=Path, help="as in runs/teacherless_b/<run_id>")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last")
    parser.add_argument("--views", type=_views, default=(1, 2, 3, 5), help="observed views of z_agg, as 1,2,3,5")
    parser.add_argument("--rows", type=_rows, default=ROWS, help=f"also evaluate: {','.join(ROWS)}, or none")
    parser.add_argument("--limit", type=_at_least_50, default=10_000, help="images of each split at most, 50 or more")
    parser.add_argument("--anchors", type=positive, default=1000, help="test images that go through the factor sweeps")
    parser.add_argument("--ahead", type=positive, default=5, help="steps of the latent rollout (%(default)s)")
    try:
        with reader_may_leave():
            _evaluate(parser.parse_args(argv))
    except UserError as error:
        print(f"jepa_lab: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _evaluate(args: argparse.Namespace) -> None:
    from jepa_lab.ledger.atomic import write_json
    from jepa_lab.ledger.run_dir import writing_below
    from jepa_lab.studies.seq_jepa.evaluation.factor_sweeps import sweep_factors
    from jepa_lab.studies.seq_jepa.evaluation.figures import draw_evaluation, draw_map, draw_rollout
    from jepa_lab.studies.seq_jepa.evaluation.frozen import evaluate
    from jepa_lab.studies.seq_jepa.evaluation.loading import load_run, rollout_of, views_of
    from jepa_lab.studies.seq_jepa.evaluation.sweep_figures import draw_sweeps
    from jepa_lab.studies.seq_jepa.evaluation.text import evaluation_text

    run = load_run(args.run_dir, args.checkpoint)
    if run.config.model.positions == "learned":
        args.views = tuple(m for m in args.views if m <= 32)
    found, features = evaluate(run, args.rows, args.views, args.limit)
    group = views_of(run.config, run.splits, run.config.dataset.n_views)
    sweeps = sweep_factors(run.network.encode, group, run.splits.test.images[: args.anchors])
    content = {**found.to_dict(), "checkpoint": args.checkpoint}
    content["sweeps"] = {"anchors": sweeps.anchors, "metrics": sweeps.metrics()}
    rollout, why = rollout_of(run, args.ahead, args.limit)
    content["rollout"] = {**(rollout.to_dict() if rollout else {}), "shortened": why}
    print(evaluation_text(found, sweeps, rollout, why))
    figures = args.run_dir / "figures"
    with writing_below(args.run_dir):
        write_json(args.run_dir / "evaluation.json", content)
        draw_sweeps(sweeps, figures)
        draw_evaluation(found, figures)
        draw_map(features, group, figures)
        if rollout is not None:
            draw_rollout(rollout, figures)
    print(f"\nwritten: {args.run_dir / 'evaluation.json'}\nfigures: {figures}")


def _views(text: str) -> tuple[int, ...]:
    return tuple(sorted({positive(word) for word in text.split(",")}))


def _rows(text: str) -> tuple[str, ...]:
    words = [] if text == "none" else text.split(",")
    for word in words:
        if word not in ROWS:
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(ROWS)}")
    return tuple(words)


def _at_least_50(text: str) -> int:
    value = positive(text)
    if value < 50:
        raise argparse.ArgumentTypeError(f"{text}: fewer than 50 images say nothing")
    return value


if __name__ == "__main__":
    main()
