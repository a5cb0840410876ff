"""Latent rollouts: each prediction replaces the encoding of its view, and the next prediction uses
it.

An error is the run's own prediction loss over the loss of the best constant: 0 is perfect, 1 is no
better than a constant. Two references bound it: a copy of the last observed view, and the one-step
prediction from the true encodings of all views in between ("teacher-forced"). The teacher-forced
prediction sees as many tokens as the rollout. An excess over it therefore comes from feeding
predictions back, not from sequences longer than in training.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.data.views.view_group import ViewGroup
from jepa_lab.losses import skill
from jepa_lab.studies.seq_jepa.evaluation.bootstrap import resampling_weights
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.studies.seq_jepa.network import ROLLED_OUT, SeqJEPANetwork
from jepa_lab.studies.seq_jepa.objective import Objective

KINDS = ("rollout", "teacher_forced", "copy")


@dataclass(frozen=True)
class RolloutStep:
    """The errors k views ahead, each divided by `constant`, the loss of the best constant. `low`
    and `high` are the 95 % interval of the rollout's error over resampled images, at a fixed
    constant."""

    k: int
    rollout: float
    low: float
    high: float
    teacher_forced: float
    copy: float
    constant: float


@dataclass(frozen=True)
class Rollout:
    """The steps 1 to k after `observed` views of each of the `images`."""

    images: int
    observed: int
    steps: list[RolloutStep]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain numbers, for JSON."""
        return asdict(self)


def roll_out(network: SeqJEPANetwork, z: Tensor, actions: Tensor) -> Tensor:
    """Predicts the encodings (B, k, D) of the next k views, each from the previous prediction. The
    inputs are the encodings z (B, M, D) of the observed views and the actions (B, M + k - 1, A)
    between consecutive views. The prediction loss leaves the length of a prediction free, so a
    prediction is fed back with the mean length of the observed encodings of its sequence."""
    length = z.norm(dim=-1, keepdim=True).mean(dim=1, keepdim=True)
    predictions = []
    for count in range(z.shape[1], actions.shape[1] + 1):
        z_hat = network.predict(z, actions[:, :count])[1]
        predictions.append(z_hat)
        z = torch.cat([z, (F.normalize(z_hat, dim=-1)[:, None] * length).to(z.dtype)], dim=1)
    return torch.stack(predictions, dim=1)


def teacher_forced(network: SeqJEPANetwork, z: Tensor, actions: Tensor, observed: int) -> Tensor:
    """Predicts the next k views (B, k, D), each one step ahead of true encodings. The inputs are
    the encodings z (B, M + k - 1, D) of all views but the last and the actions (B, M + k - 1, A). M
    is `observed`."""
    steps = range(observed, actions.shape[1] + 1)
    return torch.stack(
        [network.predict(z[:, :seen], actions[:, :seen])[1] for seen in steps], dim=1
    )


@torch.no_grad()
def measure_rollout(
    module: SeqJEPA,
    group: ViewGroup,
    source: ImageSource,
    *,
    observed: int,
    split: str,
    seed: int,
    first_view: str | None = None,
    limit: int = 256,
    resamples: int = 0,
) -> Rollout:
    """Measures the rollout of the first `limit` images of a source, each in the group's M + k
    views, fixed by (seed, split, image). `module` is in evaluation mode. Without `resamples` the
    interval is the value itself."""
    count, horizon = min(limit, len(source.images)), group.n_views - observed
    losses: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
    baseline_rows: Tensor | None = None
    for index in torch.arange(count).split(ROLLED_OUT):
        maps = None if source.maps is None else source.maps[index].to(module.device)
        batch = group(
            source.images[index].to(module.device),
            None,
            index.to(module.device),
            seed=seed,
            split=split,
            epoch=0,
            first_view=first_view,
            maps=maps,
        )
        z, network = module.network.encode(batch.observed), module.network
        targets = module.encode_target(batch.views[:, observed:].flatten(0, 1)).unflatten(
            0, (-1, horizon)
        )
        found = {
            "rollout": roll_out(network, z[:, :observed], batch.actions),
            "teacher_forced": teacher_forced(network, z, batch.actions, observed),
            "copy": z[:, observed - 1 : observed].expand(-1, horizon, -1),
        }
        for kind, predictions in found.items():
            losses[kind].append(_distances(module.objective, predictions, targets).cpu())
        own = torch.stack(
            [module.objective.baseline_rows(targets[:, k]).sum(dim=0) for k in range(horizon)]
        )
        baseline_rows = own if baseline_rows is None else baseline_rows + own
    assert baseline_rows is not None
    constants = [
        float(module.objective.constant_baseline_loss(total / count)) for total in baseline_rows
    ]
    rows = {kind: torch.cat(parts).double() for kind, parts in losses.items()}
    return Rollout(
        count, observed, [_step(k, rows, constants[k], resamples) for k in range(horizon)]
    )


def _distances(objective: Objective, predictions: Tensor, targets: Tensor) -> Tensor:
    """Returns the prediction losses (B, k) of predictions (B, k, D) and targets (B, k, D)."""
    return objective.distance(predictions.flatten(0, 1), targets.flatten(0, 1)).unflatten(
        0, predictions.shape[:2]
    )


def _step(place: int, rows: dict[str, Tensor], constant: float, resamples: int) -> RolloutStep:
    errors = {
        kind: relative_error(float(found[:, place].mean()), constant)
        for kind, found in rows.items()
    }
    low = high = errors["rollout"]
    if resamples:
        column = rows["rollout"][:, place]
        weights = torch.from_numpy(resampling_weights(len(column), resamples))
        ends = torch.quantile(
            weights @ column / len(column), torch.tensor([0.025, 0.975], dtype=torch.float64)
        )
        low, high = (relative_error(float(end), constant) for end in ends)
    return RolloutStep(k=place + 1, constant=constant, low=low, high=high, **errors)


def relative_error(loss: float, constant: float) -> float:
    """Returns loss / constant, which is 1 - skill. It is 1 if the targets do not vary (see
    `losses.skill`)."""
    return 1.0 - float(skill(loss, constant))


def reach(network: SeqJEPANetwork, observed: int, wanted: int) -> tuple[int, str | None]:
    """Returns how many of the `wanted` steps the network can take, and the reason if not all.
    Learned positions limit the number of views."""
    code = getattr(network.aggregator, "position_code", None)
    held = wanted if code is None else max(0, code.shape[1] - observed + 1)
    if held >= wanted:
        return wanted, None
    return held, f"learned positions for {code.shape[1]} views, of which {observed} are observed"  # type: ignore[union-attr]
