"""seq-JEPA as a LightningModule. It renders views, computes the loss and publishes features for
callbacks."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
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

    @torch.no_grad()
    def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> SequenceBatch:
        """Renders the views on the device. Training views change every epoch, evaluation views
        never do."""
        split, index, images, labels, *maps = batch
        common: Any = {"seed": self.seed, "maps": maps[0] if maps else self.group.maps(images)}
        if split == "train":
            return self.group(
                images, labels, index, split=split, epoch=self.current_epoch, **common
            )
        fixed: Any = {"epoch": 0, "first_view": self.eval_first_view, **common}
        again = int(index[0]) < SECOND_LOOKS
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

    def training_step(self, batch: SequenceBatch, batch_idx: int) -> Tensor:
        reps = self(batch)
        step = self.trainer.global_step if self._trainer is not None else 0
        done = step / self.steps
        loss = self.objective(reps, batch.labels, done, step)
        if self.symmetric:
            loss = mean_terms(
                loss, self.objective(self(self.group.reverse(batch)), batch.labels, done, step)
            )
        self.batch, self.representations = batch, reps.detach()
        self.weighted = self.objective.weighted(loss.terms, done)
        self.terms = {
            "total": loss.total.detach(),
            **{k: v.detach() for k, v in loss.terms.items()},
        }
        return loss.total

    def validation_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        reps = self(batch)
        other = batch.actions.roll(1, dims=0)
        shuffled = self.network.predict(reps.z, other)[1]
        blind = self.network.aggregate_blind(reps.z, reps.z_agg)
        again = self._second_look
        z_agg_again = (
            None
            if again is None
            else self.network.predict(self.network.encode(again.observed), again.actions)[0]
        )
        self.batch = batch
        self.evaluated = Evaluated(
            reps.detach(),
            blind.float(),
            self.objective.distance(reps.z_hat, reps.z_target),
            self.objective.distance(shuffled, reps.z_target),
            self.objective.distance(reps.z[:, -1], reps.z_target),
            None if z_agg_again is None else z_agg_again.float(),
        )

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
