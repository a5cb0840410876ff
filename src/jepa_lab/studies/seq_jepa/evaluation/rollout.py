"""Latent rollouts: each prediction takes the place of the view that it predicts, and the next is
made from it.

The errors are those of the run's own prediction loss over the best constant's: 0 is perfect, 1
knows nothing. Beside them stand two that bound them: a copy of the last view that was seen, and the
one-step prediction that is given the true encodings of all views in between ("teacher-forced").
Both see as many tokens as the rollout does, so that what is above the latter comes from feeding
predictions back, not from sequences longer than those of training.
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
from jepa_lab.studies.seq_jepa.network import SeqJEPANetwork
from jepa_lab.studies.seq_jepa.objective import Objective

BATCH = 64  # images at a time: each comes in M + k views
KINDS = ("rollout", "teacher_forced", "copy")


@dataclass(frozen=True)
class RolloutStep:
    """The errors k views ahead, each over that of the best constant, `constant`. `low` and `high`:
    95 % of the rollout's over resampled images, the constant's held."""

    k: int
    rollout: float
    low: float
    high: float
    teacher_forced: float
    copy: float
    constant: float


@dataclass(frozen=True)
class Rollout:
    """Steps 1 to k from `observed` views of each of the `images`."""

    images: int
    observed: int
    steps: list[RolloutStep]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)


def roll_out(network: SeqJEPANetwork, z: Tensor, actions: Tensor) -> Tensor:
    """Encodings z (B, M, D) of the observed views and the actions (B, M + k - 1, A) from each view
    to the next -> the predictions (B, k, D) of the k views that follow. Of those views nothing is
    given but the actions that lead to them.

    The prediction loss leaves the length of a prediction free: what is fed back has the mean length
    of the sequence's observed encodings.
    """
    length = z.norm(dim=-1, keepdim=True).mean(dim=1, keepdim=True)
    predictions = []
    for seen in range(z.shape[1], actions.shape[1] + 1):
        z_hat = network.predict(z, actions[:, :seen])[1]
        predictions.append(z_hat)
        z = torch.cat([z, (F.normalize(z_hat, dim=-1)[:, None] * length).to(z.dtype)], dim=1)
    return torch.stack(predictions, dim=1)


def teacher_forced(network: SeqJEPANetwork, z: Tensor, actions: Tensor, observed: int) -> Tensor:
    """Encodings z (B, M + k - 1, D) of all views but the last and the actions (B, M + k - 1, A) ->
    predictions (B, k, D), each one step ahead of true encodings; M is `observed`."""
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
    """Of the first `limit` images of a source, each in the group's M + k views, fixed by (seed,
    split, image). `module` is in evaluation mode. Without `resamples` the interval is the value."""
    count, horizon = min(limit, len(source.images)), group.n_views - observed
    losses: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
    baseline_rows: Tensor | None = None
    for index in torch.arange(count).split(BATCH):
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
    """(B, k, D) against (B, k, D) -> the prediction loss of each, (B, k)."""
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
    """loss / constant, which is 1 - skill: 1 where the targets do not vary (see `losses.skill`)."""
    return 1.0 - float(skill(loss, constant))


def reach(network: SeqJEPANetwork, observed: int, wanted: int) -> tuple[int, str | None]:
    """(how many of the `wanted` steps the network can take, why not all). Learned positions are of
    so many views."""
    code = getattr(network.aggregator, "position_code", None)
    held = wanted if code is None else max(0, code.shape[1] - observed + 1)
    if held >= wanted:
        return wanted, None
    return held, f"learned positions for {code.shape[1]} views, of which {observed} are observed"  # type: ignore[union-attr]
