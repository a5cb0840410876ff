"""python -m jepa_lab.heatmaps RUNS_DIR: the figures of the linear BYOL toy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.process.command import Parser, positive

MODES = ("same", "ratio", "logspace", "from_tau", "auto")


def main(argv: list[str] | None = None) -> None:
    """Draws what `argv` asks for; exit code 2 with one line for what cannot be drawn."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser().parse_args([_with_dashes(word) for word in words])
        _draw(args)
    except UserError as error:
        print(f"jepa_lab: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m jepa_lab.heatmaps",
        description="Draws the runs of the linear BYOL toy below RUNS_DIR: maps over tau and alpha for each batch size "
        "with spread over seeds, diverged cells and theory, slices, singular values; and their numbers as CSV.",
    )
    parser.add_argument("runs_dir", type=Path, help="a folder with runs below it, or one linear_byol.parquet")
    parser.add_argument("--metric", help="any numeric column (W_Fro_aligned)")
    parser.add_argument("--enc-metric", help="another one (BA_err_aligned, else enc_proj_dist, enc_procrustes_fro)")
    parser.add_argument("--epoch", type=positive, help="the step that the maps show (the last logged)")
    parser.add_argument("--use-last-valid", action="store_true", help="else the last row before with a finite metric")
    parser.add_argument("--lr-enc-mode", choices=MODES, help="one mode only (all, each into its own folder)")
    parser.add_argument("--batches", type=positive, nargs="+", metavar="B", help="these batch sizes only")
    parser.add_argument("--where", action="append", default=[], metavar="KEY=VALUE", help="only runs with this setting")
    parser.add_argument("--seed", type=int, help="of the singular values (the lowest)")
    parser.add_argument("--scatter-best", action="store_true", help="also draw the best row of each run")
    parser.add_argument("--out", type=Path, default=Path("figs"), help="folder of the figures (figs)")
    return parser


def _draw(args: argparse.Namespace) -> None:
    from jepa_lab.studies.linear_byol.figures.all import Request, draw_all

    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out}: a file is there, a folder is needed")
    request = Request(
        args.metric, args.enc_metric, args.epoch, args.use_last_valid, args.lr_enc_mode, args.batches,
        tuple(args.where), args.seed, args.scatter_best,
    )  # fmt: skip
    try:
        drawn = draw_all(args.runs_dir, args.out, request)
    except OSError as error:
        raise UserError(f"{error.filename or args.out}: {error.strerror or error}") from error
    for note in drawn.notes:
        print(note)
    print("best cells (lowest mean log10 over seeds, none diverged)" if drawn.best else "no best cell")
    for row in drawn.best:
        print(_best_line(row))
    print("written:")
    for path in drawn.paths:
        print(f"  {path}")


def _best_line(row: Mapping[str, Any]) -> str:
    spread = f" ± {row['sd']:.2g}" if row["sd"] == row["sd"] else ""
    rate = f"α {row['alpha']:.3g}" if row["c"] is None else f"c {row['c']:g} (α {row['alpha']:.3g})"
    ratio = f", α_eff H/τ {row['alpha_eff_H_over_tau']:.3g}" if "alpha_eff_H_over_tau" in row else ""
    return (
        f"  {row['mode']:<9}batch {row['batch_size']:<6}{row['metric']:<20}{row['mean']:.4g}{spread} "
        f"({row['n_seeds']} seeds) at τ {row['tau']:.3g}, {rate}, β {row['beta']:.3g}{ratio}"
    )


def _with_dashes(word: str) -> str:
    """--lr_enc_mode as --lr-enc-mode; the value after = stays."""
    name, equals, value = word.partition("=")
    return (name.replace("_", "-") if name.startswith("--") else name) + equals + value


if __name__ == "__main__":
    main()
