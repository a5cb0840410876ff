"""The checks of the preflight on the views of the training images."""

from __future__ import annotations

import torch

from jepa_lab.data.loader import ImageBatch
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.data.views.sequences import SequenceBatch
from jepa_lab.studies.seq_jepa.config import Config


def augmentation(config: Config, group: ViewGroup, images: ImageBatch) -> list[str]:
    """Checks that the views of a sequence differ where their parameters do, and that two epochs
    differ."""
    one, other = (render(config, group, images, epoch) for epoch in (0, 1))
    if not bool(torch.isfinite(one.views).all()):
        return [f"views are not finite: {_of_views(config)}"]
    differs = (one.views[:, 1:] != one.views[:, :1]).flatten(2).any(dim=2)  # (B, V - 1)
    meant = (one.params[:, 1:] != one.params[:, :1]).any(dim=2)
    if not bool(meant.any()):
        return [f"the views of a sequence are all drawn alike: {_of_views(config)}"]
    still = int((meant & ~differs).sum())
    if still > int(meant.sum()) / 2:
        return [
            f"{still} of {int(meant.sum())} transformed views are equal to the first:"
            f" {_of_views(config)}"
        ]
    if torch.equal(one.views, other.views):
        return [f"two epochs draw the same views: {_of_views(config)}"]
    return []


def contexts(config: Config, group: ViewGroup, images: ImageBatch) -> list[str]:
    """Checks that the observed views are not copies of each other in every sequence, and that
    neither the images nor their observed views are all the same."""
    observed = render(config, group, images, 0).observed
    found = []
    if observed.shape[1] > 1 and torch.equal(observed, observed[:, :1].expand_as(observed)):
        words = f"{_of_views(config)}, dataset.n_views={config.dataset.n_views}"
        found.append(f"the observed views of every sequence are copies of one another: {words}")
    pixels = images[2]
    if any(torch.equal(part, part[:1].expand_as(part)) for part in (pixels, observed)):
        d = config.dataset
        place = (
            f"dataset.path={d.path}"
            if d.path
            else f"dataset.root={d.root}"
            if d.root
            else f"dataset={d.name}"
        )
        found.append(
            f"{len(observed)} training images, or their observed views, are all the same: {place}"
        )
    return found


def render(config: Config, group: ViewGroup, images: ImageBatch, epoch: int) -> SequenceBatch:
    """Returns the training views of an epoch."""
    split, index, pixels, labels, *maps = images
    return group(
        pixels,
        labels,
        index,
        seed=config.seed,
        split=split,
        epoch=epoch,
        maps=maps[0] if maps else group.maps(pixels),
    )


def _of_views(config: Config) -> str:
    d = config.dataset
    options = "".join(f" dataset.{key}={value}" for key, value in d.view_options().items())
    return f"dataset.views={d.views} dataset.first_view={d.first_view}{options}"
