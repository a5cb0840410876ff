"""The LightningModule of the ARC JEPA, which predicts the output of a query from demonstrations in
a latent space."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from jepa_lab.config.schema import OptimConfig
from jepa_lab.losses.terms import LossTerms
from jepa_lab.networks.ema import batch_statistics_only
from jepa_lab.networks.vq.build import Quantizer
from jepa_lab.ranks import (
    averaged_with_gradient,
    gather_fields,
    mean_of_rows,
    rank,
    share,
    world_size,
)
from jepa_lab.studies.arc.data.batch import DEMO_INPUT, DEMO_OUTPUT, ArcBatch, GridTokens
from jepa_lab.studies.arc.network import ArcNetwork, ArcRepresentations, Encoded, targets_of
from jepa_lab.studies.arc.objective import ArcForward, ArcObjective
from jepa_lab.training.optimisation import OptimisedModule


@dataclass
class ArcEvaluated:
    """Representations of a validation batch and the answers of three baselines, in float32.

    Baselines lie in the space of z_target, (B, p). `copied` is the target vector of the query's own
    input. `unpredicted` is the context without the predictor. `blind` is the prediction from the
    demonstrations of another example. It is None if contexts have no demonstrations. `present` (B,
    G) marks the grids of the contexts. `task` (B,) holds the number of each example's task.
    """

    reps: ArcRepresentations
    present: Tensor
    copied: Tensor
    unpredicted: Tensor
    blind: Tensor | None
    task: Tensor


class ArcJEPA(OptimisedModule):
    """Trains the network on the objective. Each example of a batch is a context and its target.

    Callbacks read `representations`, `terms`, `weighted` and `codes` after a training step, `batch`
    after any step, and `evaluated` and `codes` after a validation step. The codebook and the queue
    are updated once per optimiser step, in `optimizer_step`. `eval_prefix` (reference, val or test)
    is the prefix of the keys of an evaluation pass.

    With several processes each encodes its examples of the batch. Representations, and the losses
    of tokens, are gathered before the objective. What callbacks read has all rows, except for
    tokens and codes.
    """

    def __init__(
        self,
        network: ArcNetwork,
        objective: ArcObjective,
        *,
        target: str,
        optim: OptimConfig,
        steps: int,
        seed: int,
    ) -> None:
        super().__init__(optim, steps)
        self.network = network
        self.objective = objective
        self.target = target
        targets = targets_of(network, target)
        self.target_encoder = targets.encoder
        self.target_projection = targets.projection
        self.target_vq: Quantizer | None = targets.vq
        self.seed = seed
        self.eval_prefix = "val"
        self.representations: ArcRepresentations | None = None
        self.terms: dict[str, Tensor] = {}
        # share of every weighted part in the total loss of the last batch
        self.shares: dict[str, Tensor] = {}
        self.batch: ArcBatch | None = None
        # codes of the last batch's context and target grids, -1 at places without a token
        self.codes: Tensor | None = None
        self.target_codes: Tensor | None = None
        self.live: Tensor | None = None  # numbers of the places with a token among those of `codes`
        self.evaluated: ArcEvaluated | None = None

    @property
    def vq(self) -> Quantizer | None:
        """The codebook of the network, None without one."""
        return self.network.vq

    def train(self, mode: bool = True) -> ArcJEPA:
        """Keeps the target encoder in evaluation mode, so that dropout does not change targets."""
        super().train(mode)
        if self.target_encoder is not None:
            self.target_encoder.eval()
        return self

    def forward(self, batch: ArcBatch, collect: bool = False) -> ArcForward:
        context = self.network.encode(batch.view.context, collect)
        z = context.vectors.unflatten(0, tuple(batch.present.shape))
        z_agg = self.network.aggregate(z, batch.present, batch.roles, batch.pairs)
        z_hat = self.network.predict(z_agg)
        target, z_target = self.encode_target(batch.view.target)
        return ArcForward(ArcRepresentations(z, z_agg, z_hat, z_target), context, target)

    def encode_target(self, tokens: GridTokens) -> tuple[Encoded, Tensor]:
        """Returns the encoded grids and z_target (n, p), with a gradient only for target "shared".

        Tokens are quantised by the online codebook, which does not learn from them. If the codebook
        is not shared, the target's own codebook is used and learns from them.
        """
        network = self.network
        if self.target == "shared":
            encoded = network.encode(tokens)
            return encoded, network.projection(encoded.vectors)
        with torch.no_grad():
            if self.target_encoder is not None and self.target_projection is not None:
                own = self.target_vq
                encoded = network.encode(
                    tokens, collect=own is not None, encoder=self.target_encoder, vq=own
                )
                return encoded, self.target_projection(encoded.vectors)
            with batch_statistics_only(network.projection) if self.training else nullcontext():
                encoded = network.encode(tokens)
                return encoded, network.projection(encoded.vectors)

    def training_step(self, batch: ArcBatch, batch_idx: int) -> Tensor:
        step = self.trainer.global_step if self._trainer is not None else 0
        for book in (self.network.vq, self.target_vq):
            if book is not None:
                book.set_progress(step / max(self.steps, 1))
        out, whole = self(batch, collect=True), self.whole(batch)
        families = self.objective.config.invariance.weights()
        extra = {
            f"invariance_{family}": self._invariance(family, batch, out, step)
            for family in families
        }
        out = self.of_all(out, whole)
        loss, self.weighted = self.objective(out, whole, step, extra, step / max(self.steps, 1))
        self.objective.queue.stage(out.reps.z_target, whole.task)
        self.batch, self.representations = whole, out.reps.detach()
        self.codes, self.target_codes = out.context.codes, out.target.codes
        self.live = batch.view.context.numbers()
        self.terms = {
            "total": loss.total.detach(),
            **{k: v.detach() for k, v in loss.terms.items()},
        }
        self.shares = {k: v.detach() / loss.total.detach() for k, v in self.weighted.items()}
        return loss.total

    def _invariance(self, family: str, batch: ArcBatch, out: ArcForward, step: int) -> Tensor:
        """Returns the distance between the vectors of the examples and of their transforms.

        The online encoder encodes the transformed grids and the original context. The vectors of
        the original target come from the target branch.
        """
        context, target = self.objective.transformed(batch, family, self.seed, step)
        z = self.network.encode(context).vectors.unflatten(0, tuple(batch.present.shape))
        moved = self.network.aggregate(z, batch.present, batch.roles, batch.pairs)
        of_target = self.network.encode(target).vectors
        term = self.objective.invariance_term(
            (out.reps.z_agg, moved), (out.target.vectors, of_target)
        )
        return mean_of_rows(term, len(moved), len(batch.index))

    def whole(self, batch: ArcBatch) -> ArcBatch:
        """Returns the batch with the context of all processes, and the tokens of this one."""
        if world_size() == 1:
            return batch
        numbered_anew = replace(batch, grids=None)
        return gather_fields(numbered_anew, len(batch.index), without=("task", "index"))

    def of_all(self, out: ArcForward, whole: ArcBatch) -> ArcForward:
        """Returns the representations and the codebook's loss of the whole batch, with gradient,
        and the tokens of this process."""
        reps, book = gather_fields(out.reps, len(whole.index)), out.context.loss
        if world_size() > 1 and book is not None:
            book = LossTerms(
                averaged_with_gradient(book.total),
                {name: averaged_with_gradient(term) for name, term in book.terms.items()},
            )
        return ArcForward(reps, replace(out.context, loss=book), out.target)

    def validation_step(self, batch: ArcBatch, batch_idx: int) -> None:
        out, whole = self(batch), self.whole(batch)
        b, g = batch.present.shape
        last = batch.present.long().cumsum(1).argmax(dim=1)  # the query, or the last frame
        rows = torch.arange(b, device=last.device)
        _, copied = self.encode_target(batch.view.context[rows * g + last])
        unpredicted = self.network.projection(out.reps.z_agg)
        self.batch, self.codes, self.target_codes = whole, out.context.codes, out.target.codes
        n = len(whole.index)
        # every process has all rows of a small batch, and one counts their codes
        if self.codes is not None and rank() > 0 and n < world_size():
            self.codes = self.target_codes = torch.full_like(whole.task, -1)
        reps = gather_fields(out.reps.detach(), n)
        evaluated = ArcEvaluated(
            reps,
            whole.present,
            copied.float(),
            unpredicted.float(),
            self._blind(reps.z if world_size() > 1 else out.reps.z, whole),
            whole.task,
        )
        self.evaluated = gather_fields(evaluated, n, without=("present", "task"))

    def _blind(self, z: Tensor, batch: ArcBatch) -> Tensor | None:
        """Returns z_hat (b, p) of this process's rows from the demonstrations of the example half a
        batch away, which is usually of another task. None without demonstrations or for a single
        example. z (B, G, h) and the batch have all rows."""
        demo = batch.present & ((batch.roles == DEMO_INPUT) | (batch.roles == DEMO_OUTPUT))
        if not bool(demo.any()) or len(demo) < 2:
            return None
        shift = len(demo) // 2
        there = demo.roll(shift, dims=0)
        z = torch.where(demo.unsqueeze(-1), z.roll(shift, dims=0), z)
        present, mine = torch.where(demo, there, batch.present), share(len(demo))
        z_agg = self.network.aggregate(z[mine], present[mine], batch.roles[mine], batch.pairs[mine])
        return self.network.predict(z_agg).float()

    def training_statistics(self) -> dict[str, float]:
        """Returns values of the last batch: the share of every part in the loss, the temperature,
        whether it is at a bound, and the number of negatives per query."""
        values = {f"share/{name}": float(share) for name, share in self.shares.items()}
        if self.objective.config.form == "info_nce":
            values["temperature"] = float(self.objective.temperature().detach())
            values["temperature_clamped"] = float(self.objective.temperature.clamped)
            values["info_nce/negatives"] = float(self.objective.negatives)
        return values

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Steps the optimiser, then calls `end_step` of every codebook and of the objective
        once."""
        super().optimizer_step(*args, **kwargs)
        for book in (self.network.vq, self.target_vq):
            if book is not None:
                book.end_step(self.skipped)
        self.objective.end_step(self.skipped)

    @property
    def ema_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pairs (average, module that it follows): the target's encoder and projection, and the
        teacher heads of auxiliary losses."""
        pairs = self.objective.aux.ema_pairs
        if self.target_encoder is None or self.target_projection is None:
            return pairs
        own = [
            (self.target_encoder, self.network.encoder),
            (self.target_projection, self.network.projection),
        ]
        return [*own, *pairs]
