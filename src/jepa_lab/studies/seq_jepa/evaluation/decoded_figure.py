"""The figure of a decoding: test images above their reconstructions from latents."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from jepa_lab.report import axes
from jepa_lab.report.figures import DPI, PAPER, save
from jepa_lab.report.panels import GREY
from jepa_lab.studies.seq_jepa.evaluation.decoding import (
    COPY,
    DIVERGED,
    MEAN,
    RANDOM,
    Decoded,
    Decoding,
)

# inches: side of an image, width of the labels on the left, gap between two views
CELL, LABEL, GAP = (0.78, 2.3, 0.16)
NAMES = {"z_target": "z of that view", "z_hat": "z_hat, its prediction"}
LEFT_OUT = (MEAN, COPY)  # in decoded.json, not in the figure


def draw_decoded(found: Decoding, folder: Path) -> Path:
    """Writes decoded.png: for each decoded view the images themselves, then the images decoded from
    latents."""
    blocks = []
    for view in dict.fromkeys(row.shows for row in found.rows):
        rows = [row for row in found.rows if row.shows == view and row.tap not in LEFT_OUT]
        blocks.append(
            [(view, "", found.originals[view])]
            + [(_name(row), _score(row), row.images) for row in rows]
        )
    columns = len(blocks[0][0][2])
    lines, top = sum(map(len, blocks)), 0.62
    height = top + lines * CELL + (len(blocks) - 1) * GAP + 0.1
    width = LABEL + columns * CELL + 0.1
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    p = found.protocol
    title = (
        f"{p['experiment']} on {p['dataset']}, run {p['run']}: images decoded from latents, test"
        " images"
    )
    figure.text(
        0.1 / width,
        1 - 0.2 / height,
        title,
        fontsize=10,
        fontweight="bold",
        color=axes.INK,
        va="center",
    )
    note = (
        "R² is 0 for the mean image and 1 for the image itself; even a random encoder keeps much"
        " of a small image"
    )
    figure.text(0.1 / width, 1 - 0.42 / height, note, fontsize=8, color=GREY, va="center")
    y = height - top
    for block in blocks:
        for name, score, images in block:
            y -= CELL
            middle = (y + CELL / 2) / height
            weight = "normal" if score else "bold"
            figure.text(
                0.1 / width,
                middle + 0.07 / height * bool(score),
                name,
                fontsize=9,
                fontweight=weight,
                color=axes.INK,
                va="center",
            )
            figure.text(
                0.1 / width, middle - 0.12 / height, score, fontsize=8, color=GREY, va="center"
            )
            for column, image in enumerate(images):
                place = (LABEL + column * CELL, y + 0.02, CELL - 0.04, CELL - 0.04)
                _show(
                    figure,
                    (place[0] / width, place[1] / height, place[2] / width, place[3] / height),
                    image,
                )
        y -= GAP
    return save(figure, folder / "decoded.png")


def _name(row: Decoded) -> str:
    name = NAMES.get(row.tap, row.tap)
    return f"from {name}, {RANDOM}" if row.network == RANDOM else f"from {name}"


def _score(row: Decoded) -> str:
    return DIVERGED if math.isnan(row.psnr) else f"R² {row.r2:.2f}, {row.psnr:.1f} dB"


def _show(figure: Figure, place: tuple[float, float, float, float], image: Tensor) -> None:
    ax: Any = figure.add_axes(place)
    if not bool(torch.isfinite(image).all()):
        axes.draw_word(ax, "–")
        return
    ax.imshow(
        image.permute(1, 2, 0).squeeze(-1).numpy(),
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    ax.set_axis_off()
