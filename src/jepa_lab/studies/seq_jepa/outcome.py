"""The figures that only a seq-JEPA run has: example views and factor sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.data.labels import listed
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.studies.seq_jepa.evaluation.factor_sweeps import Sweeps, plain_sweeps, sweeps_of
from jepa_lab.studies.seq_jepa.evaluation.sweep_figures import draw_sweeps

NAMES_ON_PAGE = 100  # summary.json has the names of all classes


def pictures_of(
    group: ViewGroup, source: ImageSource, seed: int, sweeps: Sweeps | None = None
) -> dict[str, Any]:
    """Returns example views (n, V, C, H, W) uint8 with their captions, the factor sweeps, and the
    names of the classes in one line, as tensors and plain data."""
    views, captions = example_views(group, source, seed)
    names = listed(source.class_names, most=NAMES_ON_PAGE, form=lambda k, name: f"{k}: {name}")
    return {
        "views": torch.from_numpy(views).mul(255).round().to(torch.uint8),
        "captions": captions,
        "sweeps": None if sweeps is None else plain_sweeps(sweeps),
        "classes": names,
    }


def draw_pictures(pictures: Mapping[str, Any], figures: Path) -> dict[str, Any]:
    """Draws the factor sweeps of pictures_of. Returns the options of draw_outcome for the rest."""
    if pictures["sweeps"] is not None:
        draw_sweeps(sweeps_of(pictures["sweeps"]), figures)
    views = pictures["views"].numpy().astype(np.float32) / 255
    return {"views": views, "captions": pictures["captions"], "classes": str(pictures["classes"])}


def example_views(
    group: ViewGroup, source: ImageSource, seed: int, n: int = 6, split: str = "val"
) -> tuple[np.ndarray, list[list[str]]]:
    """Returns the views of the first n images, (n, V, C, H, W) in [0, 1], with a caption for each
    view."""
    index = torch.arange(min(n, len(source.images)))
    maps = None if source.maps is None else source.maps[index]
    batch = group(source.images[index], None, index, seed=seed, split=split, epoch=0, maps=maps)
    mean, std = (torch.tensor(v).view(1, 1, -1, 1, 1) for v in (source.mean, source.std))
    captions = [["start", *(_caption(group, a) for a in actions)] for actions in batch.actions]
    return (batch.views * std + mean).clamp(0, 1).numpy(), captions


def _caption(group: ViewGroup, action: torch.Tensor) -> str:
    parts = []
    for name, part in group.action_slices.items():
        values = action[part]
        if name == "rot" and len(values) == 2:
            parts.append(f"{round(float(torch.atan2(values[0], values[1]).rad2deg())):+d}°")
        elif name == "rot":
            parts.append(f"{90 * int(values.argmax()):+d}°")
        elif len(values) == 1:
            parts.append(f"{name} {float(values[0]):+.2f}")
        else:
            numbers = [f"{float(value):+.2f}" for value in values]
            parts += [name, *(" ".join(numbers[i : i + 2]) for i in range(0, len(numbers), 2))]
    return "\n".join(parts)
