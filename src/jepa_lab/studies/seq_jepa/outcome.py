"""The results of a seq-JEPA run: figures of its views and factor sweeps beside those of every
run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.data.labels import listed
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.diagnosis import Examination, Verdict
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.ledger.parquet import History
from jepa_lab.report.outcome import expected_texts, present
from jepa_lab.studies.seq_jepa.evaluation.factor_sweeps import Sweeps
from jepa_lab.studies.seq_jepa.evaluation.sweep_figures import draw_sweeps
from jepa_lab.training.study import Fit, Session

NAMES_ON_PAGE = 100  # summary.json has the names of all classes


def show_outcome(
    session: Session,
    fit: Fit,
    verdict: Verdict,
    examine: Callable[[History], Examination],
    remedies: Remedies,
    *,
    group: ViewGroup,
    source: ImageSource,
    sweeps: Sweeps | None = None,
) -> None:
    """Draws the figures, writes report.html, and prints the table, the verdict and the paths."""
    config, run = session.config, session.run
    views, captions = example_views(group, source, config.seed)
    expected = expected_texts(
        config.expected, config.recipe.name, config.dataset.name, config.tier.name
    )
    if sweeps is not None:
        draw_sweeps(sweeps, run.figures)
    present(
        run,
        config,
        fit.history,
        verdict,
        fit.gates,
        expected,
        examine,
        remedies,
        classes=listed(source.class_names, most=NAMES_ON_PAGE, form=lambda k, name: f"{k}: {name}"),
        views=views,
        captions=captions,
    )


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
