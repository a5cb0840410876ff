"""python -m jepa_lab.heatmaps RUNS_DIR: draws the figures of the linear BYOL toy."""

from __future__ import annotations

from pathlib import Path

from jepa_lab.cli.options import add_toy_selection, with_dashes
from jepa_lab.process.command import Parser, arguments, positive, run_command


def main(argv: list[str] | None = None) -> None:
    """Draws the figures that `argv` selects."""
    run_command(lambda: _draw([with_dashes(arg) for arg in arguments(argv)]))


def _parser() -> Parser:
    parser = Parser(
        prog="python -m jepa_lab.heatmaps",
        description=(
            "Draws the runs of the linear BYOL toy below RUNS_DIR: maps over tau and alpha for each"
            " batch size with the spread over seeds, diverged cells and theory; slices; singular"
            " values. Writes the numbers as CSV."
        ),
    )
    parser.add_argument(
        "runs_dir", type=Path, help="a folder with runs below it, or one linear_byol.parquet"
    )
    parser.add_argument("--metric", help="any numeric column (default: W_Fro_aligned)")
    parser.add_argument(
        "--enc-metric",
        help="a second numeric column (default: the first available of BA_err_aligned,"
        " enc_proj_dist, enc_procrustes_fro)",
    )
    parser.add_argument(
        "--epoch", type=positive, help="the step that the maps show (default: the last logged)"
    )
    parser.add_argument(
        "--use-last-valid",
        action="store_true",
        help="if the metric is not finite there, use the last earlier row where it is",
    )
    add_toy_selection(parser)
    parser.add_argument(
        "--seed", type=int, help="seed of the singular values (default: the lowest)"
    )
    parser.add_argument(
        "--scatter-best", action="store_true", help="also draw the best row of each run"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("figs"), help="folder of the figures (figs)"
    )
    return parser


def _draw(argv: list[str]) -> None:
    args = _parser().parse_args(argv)
    from jepa_lab.ledger.staging import require_writable  # start-up

    require_writable(args.out, "--out ")
    from jepa_lab.studies.linear_byol.figures.command import draw  # start-up

    draw(args)


if __name__ == "__main__":
    main()
