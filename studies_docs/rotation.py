"""Writes the table of docs/results/rotation.md: the path of z while an image turns through a full
circle.

    python studies_docs/rotation.py RUN_DIR [RUN_DIR ...] [--anchors 1000] [--out FILE]
                                    [--figures FOLDER]

The runs are finished runs on affine views over the full circle. They are compared with raw pixels
and with the first run's network before training. Every row is a factor sweep of the same test
images at 36 angles. --figures also draws the figures of every row.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from jepa_lab.studies.seq_jepa.evaluation.factor_sweeps import Sweeps, sweep_factors
from jepa_lab.studies.seq_jepa.evaluation.loading import (
    build_network,
    load_run,
    raw_pixels,
    views_of,
)
from jepa_lab.studies.seq_jepa.evaluation.sweep_figures import draw_sweeps

COLUMNS = [
    ("Δz in 2 directions", "explained_variance"),
    ("effective rank of Δz", "effective_rank"),
    ("common to all images", "systematic_share"),
    ("circle fit, mean curve", "circle_fit"),
    ("circle fit, image by image", "circle_fit_anchors"),
    ("one period a turn", "harmonic_1"),
    ("two periods", "harmonic_2"),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--anchors", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figures", type=Path)
    args = parser.parse_args()
    first = load_run(args.runs[0])
    rows: list[tuple[str, Callable[[Tensor], Tensor], float | None]] = [
        ("raw pixels", raw_pixels(first.config, first.splits).encode, None),
        ("before training", build_network(first.config, first.splits).encode, None),
    ]
    for path in args.runs:
        run = load_run(path)
        metrics = json.loads((path / "summary.json").read_text(encoding="utf-8"))["metrics"]
        rows.append(
            (
                run.config.name,
                run.network.encode,
                metrics["test/probe/relative_action_from_z"]["last"],
            )
        )
    images = first.splits.test.images[: args.anchors]
    group = views_of(first.config, first.splits, 2)
    lines = ["| z of | " + " | ".join(title for title, _ in COLUMNS) + " | relative action R² |"]
    lines.append("|---" * (len(COLUMNS) + 2) + "|")
    for name, encode, r2 in rows:
        torch.manual_seed(0)
        found: Sweeps = sweep_factors(encode, group, images)
        values = found.factors["rot"].values
        cells = [
            f"{values[key]:.2f}" if key != "effective_rank" else f"{values[key]:.1f}"
            for _, key in COLUMNS
        ]
        lines.append(
            f"| {name} | " + " | ".join(cells) + f" | {'' if r2 is None else f'{r2:.2f}'} |"
        )
        if args.figures is not None:
            draw_sweeps(found, args.figures / name.replace(" ", "_"))
    text = "\n".join(lines)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
