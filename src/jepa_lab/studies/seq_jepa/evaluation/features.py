"""Features of frozen networks, computed once: encodings of many views and aggregates of few and
many views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.data.views.sequences import SequenceBatch
from jepa_lab.studies.seq_jepa.network import SeqJEPANetwork

BATCH = 256


@dataclass(frozen=True)
class Features:
    """Features of n images in V views each, float32 on the CPU.

    - `z` (n, V, d) are the encodings of all views.
    - `z_agg` maps m to the aggregate (n, Da) of the first m views with the actions between them.
    - `blind` maps m to the aggregate (n, Da) of these views with every action slot zero.
    - `again` (n, Da) is the aggregate of other views of the same images, as many as `trained_on`.
    - `z_hat` (n, d) is the prediction of view `trained_on` + 1. `trained_on` is the number of
      observed views in training.
    - `path` maps m to the action (n, A) from the first view to the m-th.
    - `actions` are (n, V - 1, A), `absolute` (n, V, A), and `labels` (n,) or None.
    """

    z: Tensor
    z_agg: dict[int, Tensor]
    blind: dict[int, Tensor]
    again: Tensor
    z_hat: Tensor
    path: dict[int, Tensor]
    actions: Tensor
    absolute: Tensor
    labels: Tensor | None
    trained_on: int

    @property
    def finite(self) -> bool:
        """Whether all features are finite. Those of a diverged network are not."""
        found = (self.z, *self.z_agg.values(), *self.blind.values(), self.again, self.z_hat)
        return all(bool(torch.isfinite(features).all()) for features in found)


@torch.no_grad()
def collect(
    network: SeqJEPANetwork,
    group: ViewGroup,
    source: ImageSource,
    *,
    split: str,
    seed: int,
    views: Sequence[int],
    trained_on: int,
    first_view: str | None = None,
    limit: int | None = None,
    draws: int = 1,
) -> Features:
    """Returns features of the first `limit` images of a source. `views` are the numbers m of
    observed views in z_agg. The group needs more views than the largest m. The views are fixed by
    (seed, split, draw, image). Every image is used `draws` times, each time with other views."""
    count = len(source.images) if limit is None else min(limit, len(source.images))
    device = next(iter(network.buffers()), next(iter(network.parameters()))).device
    parts: list[Features] = []
    for draw, index in product(range(draws), torch.arange(count).split(BATCH)):
        labels = None if source.labels is None else source.labels[index]
        maps = None if source.maps is None else source.maps[index].to(device)
        batch, other = (
            group(
                source.images[index].to(device),
                labels,
                index.to(device),
                seed=seed,
                split=name,
                epoch=0,
                first_view=first_view,
                maps=maps,
            )
            for name in (f"frozen-{split}-{draw}", f"frozen-{split}-{draw}-again")
        )
        path = {m: group.relative(batch.params[:, 0], batch.params[:, m - 1]).cpu() for m in views}
        parts.append(_features(network, batch, other, path, trained_on))
    return _joined(parts)


def _features(
    network: SeqJEPANetwork,
    batch: SequenceBatch,
    other: SequenceBatch,
    path: dict[int, Tensor],
    trained_on: int,
) -> Features:
    z = network.encode(batch.views)
    z_agg = {m: network.aggregate(z[:, :m], batch.actions[:, :m]) for m in path}
    blind = {m: network.aggregate_blind(z[:, :m]) for m in path}
    observed = network.encode(other.views[:, :trained_on])
    again = network.aggregate(observed, other.actions[:, :trained_on])
    z_hat = network.predict(z[:, :trained_on], batch.actions[:, :trained_on])[1]
    return Features(
        z.float().cpu(),
        {m: x.float().cpu() for m, x in z_agg.items()},
        {m: x.float().cpu() for m, x in blind.items()},
        again.float().cpu(),
        z_hat.float().cpu(),
        path,
        batch.actions.cpu(),
        batch.absolute.cpu(),
        None if batch.labels is None else batch.labels.cpu(),
        trained_on,
    )


def _joined(parts: list[Features]) -> Features:
    first = parts[0]
    labels = (
        None
        if first.labels is None
        else torch.cat([p.labels for p in parts if p.labels is not None])
    )
    return Features(
        torch.cat([p.z for p in parts]),
        {m: torch.cat([p.z_agg[m] for p in parts]) for m in first.z_agg},
        {m: torch.cat([p.blind[m] for p in parts]) for m in first.blind},
        torch.cat([p.again for p in parts]),
        torch.cat([p.z_hat for p in parts]),
        {m: torch.cat([p.path[m] for p in parts]) for m in first.path},
        torch.cat([p.actions for p in parts]),
        torch.cat([p.absolute for p in parts]),
        labels,
        first.trained_on,
    )
