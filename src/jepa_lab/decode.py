"""python -m jepa_lab.decode RUN_DIR: decodes images from a run's frozen latents, to show what the
latents keep."""

from __future__ import annotations

import argparse
from pathlib import Path

from jepa_lab.process.command import Parser, add_trust, import_from, positive, run_command
from jepa_lab.process.ranks import numeric_ranks

TAPS = ("z", "z_hat", "z_agg")


def main(argv: list[str] | None = None) -> None:
    """Decodes the latents of the run in `argv`."""
    parser = Parser(
        prog="python -m jepa_lab.decode",
        description=(
            "Trains small decoders on the frozen latents of a run's training views and decodes test"
            " images: the view from its z, the next view from its prediction z_hat, the first view"
            " from z_agg. Does the same with a random encoder for comparison. Writes"
            " RUN_DIR/decoded.json and RUN_DIR/figures/decoded.png."
        ),
    )
    parser.add_argument("run_dir", type=Path, help="for example runs/teacherless_b/<run_id>")
    add_trust(parser)
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last")
    parser.add_argument(
        "--tap", choices=TAPS, nargs="+", default=TAPS, help="latents to decode (all)"
    )
    parser.add_argument(
        "--steps", type=positive, default=400, help="training steps of each decoder (%(default)s)"
    )
    parser.add_argument(
        "--limit",
        type=positive,
        default=2500,
        help="maximum number of images of each split (%(default)s)",
    )
    run_command(lambda: _decode(parser.parse_args(argv)))


def _decode(args: argparse.Namespace) -> None:
    from jepa_lab.ledger.staging import require_writable_run  # start-up

    require_writable_run(args.run_dir)
    with numeric_ranks():
        from jepa_lab.studies.seq_jepa.evaluation.command import decode  # start-up

    import_from(args.config_dir)
    decode(args)


if __name__ == "__main__":
    main()
