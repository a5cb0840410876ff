"""seq-JEPA as a LightningModule. It renders views, computes the loss and publishes features for
callbacks."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from jepa_lab.config.schema import OptimConfig
from jepa_lab.data.loader import ImageBatch
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.data.views.sequences import SequenceBatch
from jepa_lab.losses import mean_terms
from jepa_lab.networks.crate import zero_shares
from jepa_lab.networks.ema import batch_statistics_only
from jepa_lab.ranks import gather_fields, share, world_size
from jepa_lab.studies.seq_jepa.network import Representations, SeqJEPANetwork, target_encoder_of
from jepa_lab.studies.seq_jepa.objective import Objective
from jepa_lab.training.optimisation import OptimisedModule

SECOND_LOOKS = 256  # images of an evaluation pass that are encoded again in other views


@dataclass
class Evaluated:
    """The values that a validation step publishes. Losses are per sequence, (B,)."""

    reps: Representations
    z_agg_blind: Tensor  # (B, Da): the aggregate with every action slot zero
    # the prediction loss, 1 - cos(z_hat, z_target) unless the objective has another form
    loss: Tensor
    loss_shuffled: Tensor  # the prediction loss with the actions of another sequence
    loss_copy: Tensor  # the prediction loss if the last observed view's encoding is the prediction
    # (B, Da): the aggregate of other views of the same images, for the first images only
    z_agg_again: Tensor | None


class SeqJEPA(OptimisedModule):
    """The training step of seq-JEPA.

    `group` renders the views. `target` is "ema" (a frozen average, updated by the callback
    TargetEMA), "stopgrad" (the encoder itself, without gradient) or "shared" (with gradient).
    `steps` is the run's number of optimiser steps. With `symmetric` the loss is the mean over the
    sequence and the reversed sequence. The reversed one takes a second pass, its target is the
    first view, and every action is inverted. `eval_first_view` overrides the group's first view in
    evaluation passes. With `bn_buffers` "own_running" the target views move running statistics:
    those of the averaged encoder, or of the online encoder if there is no average.

    Callbacks read `representations` and `terms` (detached) after a training step, `batch` after any
    step and `evaluated` after a validation step. `eval_prefix` is the key prefix of an evaluation
    pass: reference, val or test.

    With several processes each renders and encodes its rows of the batch. The representations are
    gathered before the objective, which therefore sees the whole batch in every process. What
    callbacks read has all rows too, except for the views: those of other processes are gathered in
    the pass "reference" only.
    """

    def __init__(
        self,
        network: SeqJEPANetwork,
        group: ViewGroup,
        objective: Objective,
        *,
        target: str,
        optim: OptimConfig,
        steps: int,
        seed: int,
        n_classes: int,
        symmetric: bool = False,
        eval_first_view: str | None = None,
        bn_buffers: str = "averaged",
    ) -> None:
        super().__init__(optim, steps)
        self.network = network
        self.objective = objective
        self.target = target
        self.own_running = bn_buffers == "own_running"
        self.target_encoder = target_encoder_of(network, target, self.own_running)
        self.group = group
        self.seed = seed
        self.n_classes = n_classes
        self.symmetric = symmetric
        self.eval_first_view = eval_first_view
        self.eval_prefix = "val"
        self.representations: Representations | None = None
        self.terms: dict[str, Tensor] = {}
        self.batch: SequenceBatch | None = None
        self.evaluated: Evaluated | None = None
        self._second_look: SequenceBatch | None = None
        # the positions and labels of all rows of the batch
        self._index: Tensor = torch.empty(0)
        self._labels: Tensor | None = None

    @torch.no_grad()
    def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> SequenceBatch:
        """Renders the views of this process's rows on the device. Training views change every
        epoch, evaluation views never do."""
        split, self._index, images, self._labels, *maps = batch
        mine, first = share(len(self._index)), self._index[0]
        index = self._index[mine]
        labels = None if self._labels is None else self._labels[mine]
        common: Any = {"seed": self.seed, "maps": maps[0] if maps else self.group.maps(images)}
        if split == "train":
            return self.group(
                images, labels, index, split=split, epoch=self.current_epoch, **common
            )
        fixed: Any = {"epoch": 0, "first_view": self.eval_first_view, **common}
        again = int(first) < SECOND_LOOKS
        self._second_look = (
            self.group(images, labels, index, split=f"{split}-again", **fixed) if again else None
        )
        return self.group(images, labels, index, split=split, **fixed)

    def forward(self, batch: SequenceBatch) -> Representations:
        z = self.network.encode(batch.observed)
        z_agg, z_hat = self.network.predict(z, batch.actions)
        return Representations(z, z_agg, z_hat, self.encode_target(batch.target))

    def encode_target(self, views: Tensor) -> Tensor:
        """Maps (B, C, H, W) to z_target (B, D), with gradient only for target "shared"."""
        if self.target == "shared":
            return self.network.encode(views)
        with torch.no_grad():
            if self.target_encoder is not None:
                return self.network.encode(views, self.target_encoder)
            with nullcontext() if self.own_running else batch_statistics_only(self.network.encoder):
                return self.network.encode(views)

    def of_all(self, reps: Representations) -> Representations:
        """Returns the representations of the whole batch, with gradient."""
        return gather_fields(reps, len(self._index))

    def whole(self, batch: SequenceBatch, views: bool = False) -> SequenceBatch:
        """Returns the batch with the rows of all processes, with their views if `views`."""
        if world_size() == 1:
            return batch
        known = ("labels", "index") if views else ("labels", "index", "views")
        found = gather_fields(batch, len(self._index), without=known)
        return replace(found, labels=self._labels, index=self._index)

    def training_step(self, batch: SequenceBatch, batch_idx: int) -> Tensor:
        whole, reps = self.whole(batch), self.of_all(self(batch))
        step = self.trainer.global_step if self._trainer is not None else 0
        done = step / self.steps
        loss = self.objective(reps, whole.labels, done, step)
        if self.symmetric:
            reverse = self.of_all(self(self.group.reverse(batch)))
            loss = mean_terms(loss, self.objective(reverse, whole.labels, done, step))
        self.batch, self.representations = whole, reps.detach()
        self.weighted = self.objective.weighted(loss.terms, done)
        self.terms = {
            "total": loss.total.detach(),
            **{k: v.detach() for k, v in loss.terms.items()},
        }
        return loss.total

    def validation_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        whole = self.whole(batch, views=self.eval_prefix == "reference")
        reps = self(batch)
        other = whole.actions.roll(1, dims=0)[share(len(whole.actions))]
        shuffled = self.network.predict(reps.z, other)[1]
        blind = self.network.aggregate_blind(reps.z, reps.z_agg)
        again = self._second_look
        z_agg_again = (
            None
            if again is None
            else self.network.predict(self.network.encode(again.observed), again.actions)[0]
        )
        n = len(whole.actions)
        evaluated = Evaluated(
            gather_fields(reps.detach(), n),
            blind.float(),
            self.objective.distance(reps.z_hat, reps.z_target),
            self.objective.distance(shuffled, reps.z_target),
            self.objective.distance(reps.z[:, -1], reps.z_target),
            None if z_agg_again is None else z_agg_again.float(),
        )
        self.batch, self.evaluated = whole, gather_fields(evaluated, n)

    def training_statistics(self) -> dict[str, float]:
        """Returns statistics of the last batch. CRATE blocks have `sparsity/<part>/<block>`, the
        share of zeros after the sparse step. A DINO form has `dino/<statistic>`, see
        PredictionLoss.statistics."""
        values: dict[str, float] = {}
        for part in ("aggregator", "predictor"):
            shares = zero_shares(getattr(self.network, part))
            values |= {f"sparsity/{part}/{name}": float(share) for name, share in shares.items()}
        if self.objective.match is not None:
            values |= {
                f"dino/{name}": value
                for name, value in self.objective.match.statistics(self.terms).items()
            }
        return values

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.objective.end_step(self.skipped)

    @property
    def ema_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pairs (average, source): the target encoder and the teachers' heads."""
        pairs: list[tuple[nn.Module, nn.Module]] = []
        if self.target_encoder is not None:
            pairs.append((self.target_encoder, self.network.encoder))
        return pairs + self.objective.ema_pairs
