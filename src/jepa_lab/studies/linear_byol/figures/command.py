"""The command `jepa_lab.heatmaps`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.ledger.staging import staged
from jepa_lab.studies.linear_byol.figures.all import FigureRequest, draw_all


def draw(args: argparse.Namespace) -> None:
    """Draws the requested figures and prints the best cells and the paths. Raises UserError if a
    request cannot be drawn."""
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out}: a file is there, a folder is needed")
    request = FigureRequest(
        args.metric,
        args.enc_metric,
        args.epoch,
        args.use_last_valid,
        args.lr_enc_mode,
        args.batches,
        tuple(args.where),
        args.seed,
        args.scatter_best,
    )
    try:
        with staged(args.out) as stage:
            drawn = draw_all(args.runs_dir, stage, request)
            paths = [args.out / path.relative_to(stage) for path in drawn.paths]
    except OSError as error:
        raise UserError(f"{error.filename or args.out}: {error.strerror or error}") from error
    for note in drawn.notes:
        print(note)
    print(
        "best cells (lowest mean log10 over seeds, none diverged)" if drawn.best else "no best cell"
    )
    for row in drawn.best:
        print(_best_line(row))
    print("written:")
    for path in paths:
        print(f"  {path}")


def _best_line(row: Mapping[str, Any]) -> str:
    spread = f" ± {row['sd']:.2g}" if row["sd"] == row["sd"] else ""
    rate = f"α {row['alpha']:.3g}" if row["c"] is None else f"c {row['c']:g} (α {row['alpha']:.3g})"
    ratio = (
        f", α_eff H/τ {row['alpha_eff_H_over_tau']:.3g}" if "alpha_eff_H_over_tau" in row else ""
    )
    return (
        f"  {row['mode']:<9}batch"
        f" {row['batch_size']:<6}{row['metric']:<20}{row['mean']:.4g}{spread} ({row['n_seeds']}"
        f" seeds) at τ {row['tau']:.3g}, {rate}, β {row['beta']:.3g}{ratio}"
    )
