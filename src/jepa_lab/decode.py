"""python -m jepa_lab.decode RUN_DIR: images from a run's frozen latents, to look at what they keep."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jepa_lab.errors import UserError
from jepa_lab.process.command import Parser, positive, reader_may_leave

if TYPE_CHECKING:
    from jepa_lab.studies.seq_jepa.evaluation.decoding import Decoding

TAPS = ("z", "z_hat", "z_agg")


def main(argv: list[str] | None = None) -> None:
    """Decodes the run in `argv`; exit code 2 with one line for what cannot be decoded."""
    parser = Parser(
        prog="python -m jepa_lab.decode",
        description="Trains small decoders on the frozen latents of a run's training views and reads test images with "
        "them: the view from its z, the next view from its prediction z_hat, the first view from z_agg; beside them "
        "the same from a random encoder. Writes RUN_DIR/decoded.json and RUN_DIR/figures/decoded.png.",
    )
    parser.add_argument("run_dir", type=Path, help="as in runs/teacherless_b/<run_id>")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last")
    parser.add_argument("--tap", choices=TAPS, nargs="+", default=TAPS, help="latents to decode (all)")
    parser.add_argument("--steps", type=positive, default=400, help="of a decoder's training (%(default)s)")
    parser.add_argument("--limit", type=positive, default=2500, help="images of each split at most (%(default)s)")
    try:
        with reader_may_leave():
            _decode(parser.parse_args(argv))
    except UserError as error:
        print(f"jepa_lab: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _decode(args: argparse.Namespace) -> None:
    from jepa_lab.ledger.atomic import write_json
    from jepa_lab.ledger.run_dir import writing_below
    from jepa_lab.studies.seq_jepa.evaluation.decoding import decode_run
    from jepa_lab.studies.seq_jepa.evaluation.figures import draw_decoded
    from jepa_lab.studies.seq_jepa.evaluation.loading import load_run

    run = load_run(args.run_dir, args.checkpoint)
    found = decode_run(run, args.tap, args.steps, limit=args.limit)
    print(decoded_text(found))
    with writing_below(args.run_dir):
        write_json(args.run_dir / "decoded.json", {**found.to_dict(), "checkpoint": args.checkpoint})
        picture = draw_decoded(found, args.run_dir / "figures")
    print(f"\nwritten: {args.run_dir / 'decoded.json'}\nfigure:  {picture}")


def decoded_text(found: Decoding) -> str:
    """Aligned: a line for each latent, then the protocol."""
    cells = [["latent", "network", "decoded as", "R²", "PSNR, dB"]]
    cells += [[row.tap, row.network, row.shows, f"{row.r2:.3f}", f"{row.psnr:.2f}"] for row in found.rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([*lines, "", *(f"{key}: {value}" for key, value in found.protocol.items())])


if __name__ == "__main__":
    main()
