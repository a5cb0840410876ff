"""The commands `jepa_lab.evaluate` and `jepa_lab.decode` for a run of seq-JEPA."""

from __future__ import annotations

import argparse

from jepa_lab.config.trust import Trust
from jepa_lab.ledger.atomic import write_json
from jepa_lab.ledger.run_dir import require_inside, writing_below
from jepa_lab.ledger.staging import staged
from jepa_lab.report.text_table import aligned
from jepa_lab.studies.seq_jepa.evaluation.decoded_figure import draw_decoded
from jepa_lab.studies.seq_jepa.evaluation.decoding import Decoding, decode_run
from jepa_lab.studies.seq_jepa.evaluation.factor_sweeps import sweep_factors
from jepa_lab.studies.seq_jepa.evaluation.figures import draw_evaluation, draw_map, draw_rollout
from jepa_lab.studies.seq_jepa.evaluation.frozen import evaluate
from jepa_lab.studies.seq_jepa.evaluation.loading import load_run, rollout_of, views_of
from jepa_lab.studies.seq_jepa.evaluation.sweep_figures import draw_sweeps
from jepa_lab.studies.seq_jepa.evaluation.text import evaluation_text


def evaluate_run(args: argparse.Namespace) -> None:
    """Evaluates the run and writes evaluation.json and the figures. Raises UserError if the run
    cannot be evaluated."""
    require_inside(args.run_dir)
    run = load_run(args.run_dir, args.checkpoint, trust=Trust(bool(args.trust), args.config_dir))
    if run.config.model.positions == "learned":
        args.views = tuple(m for m in args.views if m <= 32)
    evaluation, features = evaluate(run, args.rows, args.views, args.limit)
    group = views_of(run.config, run.splits, run.config.dataset.n_views)
    sweeps = sweep_factors(run.network.encode, group, run.splits.test.images[: args.anchors])
    content = {**evaluation.to_dict(), "checkpoint": args.checkpoint}
    content["sweeps"] = {"anchors": sweeps.anchors, "metrics": sweeps.metrics()}
    rollout, why = rollout_of(run, args.ahead, args.limit)
    content["rollout"] = {**(rollout.to_dict() if rollout else {}), "shortened": why}
    print(evaluation_text(evaluation, sweeps, rollout, why))
    with writing_below(args.run_dir), staged(args.run_dir) as stage:
        write_json(stage / "evaluation.json", content)
        figures = stage / "figures"
        draw_sweeps(sweeps, figures)
        draw_evaluation(evaluation, figures)
        draw_map(features, group, figures, run.splits.test.class_names)
        if rollout is not None:
            draw_rollout(rollout, figures)
    print(f"\nwritten: {args.run_dir / 'evaluation.json'}\nfigures: {args.run_dir / 'figures'}")


def decode(args: argparse.Namespace) -> None:
    """Decodes the run and writes decoded.json and decoded.png. Raises UserError if the run cannot
    be decoded."""
    require_inside(args.run_dir)
    run = load_run(args.run_dir, args.checkpoint, trust=Trust(bool(args.trust), args.config_dir))
    decoding = decode_run(run, args.tap, args.steps, limit=args.limit)
    print(decoded_text(decoding))
    with writing_below(args.run_dir), staged(args.run_dir) as stage:
        write_json(stage / "decoded.json", {**decoding.to_dict(), "checkpoint": args.checkpoint})
        name = draw_decoded(decoding, stage / "figures").name
    picture = args.run_dir / "figures" / name
    print(f"\nwritten: {args.run_dir / 'decoded.json'}\nfigure:  {picture}")


def decoded_text(decoding: Decoding) -> str:
    """Returns an aligned table with a line for each latent, then the protocol."""
    cells = [["latent", "network", "decoded as", "R²", "PSNR, dB"]]
    cells += [
        [row.tap, row.network, row.shows, f"{row.r2:.3f}", f"{row.psnr:.2f}"]
        for row in decoding.rows
    ]
    return "\n".join(
        [*aligned(cells), "", *(f"{key}: {value}" for key, value in decoding.protocol.items())]
    )
