"""ArcJEPA: the LightningModule that predicts the output of an ARC query from demonstrations, in a
latent space."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jepa_lab.config.schema import OptimConfig
from jepa_lab.networks.target import batch_statistics_only, make_ema_copy
from jepa_lab.networks.vq.build import Quantizer
from jepa_lab.studies.arc.data.batch import DEMO_INPUT, DEMO_OUTPUT, ArcBatch, GridTokens
from jepa_lab.studies.arc.network import ArcNetwork, ArcRepresentations, Encoded
from jepa_lab.studies.arc.objective import ArcForward, ArcObjective
from jepa_lab.training.optimisation import OptimisedModule


@dataclass
class ArcEvaluated:
    """Of a validation batch, float32: the representations, and in the space of z_target (B, p) what
    other answers would be. copied: the query's own input; unpredicted: the context without the
    predictor; blind: with the demonstrations of another example (None where a context has none).
    task (B,), number of the task."""

    reps: ArcRepresentations
    present: Tensor
    copied: Tensor
    unpredicted: Tensor
    blind: Tensor | None
    task: Tensor


class ArcJEPA(OptimisedModule):
    """Trains the network on the objective; one batch is a batch of examples, each a context and its
    target.

    Callbacks read `representations`, `terms`, `weighted` and `codes` after a training step, `batch`
    after any step, `evaluated` and `codes` after a validation step. The codebook and the queue move
    once per optimiser step, in `optimizer_step`. `eval_prefix` names the keys of an evaluation
    pass: reference, val or test.
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
        has_ema_teacher = target == "ema"
        self.target_encoder = make_ema_copy(network.encoder) if has_ema_teacher else None
        self.target_projection = make_ema_copy(network.projection) if has_ema_teacher else None
        own = has_ema_teacher and network.vq is not None and not network.vq.share
        self.target_vq: Quantizer | None = network.vq.for_target() if own else None  # type: ignore[union-attr]
        self.seed = seed
        self.eval_prefix = "val"
        self.representations: ArcRepresentations | None = None
        self.terms: dict[str, Tensor] = {}
        self.shares: dict[
            str, Tensor
        ] = {}  # of the total, of every weighted part of the last batch
        self.batch: ArcBatch | None = None
        self.codes: Tensor | None = (
            None  # of the last batch's context grids, -1 where there is no token
        )
        self.target_codes: Tensor | None = None  # the same of its target grids
        self.evaluated: ArcEvaluated | None = None

    @property
    def vq(self) -> Quantizer | None:
        """The codebook, if there is one."""
        return self.network.vq

    def train(self, mode: bool = True) -> ArcJEPA:
        """The target's encoder stays in evaluation mode: its vectors are no draws of a dropout."""
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
        """Grids -> (encoded, z_target (n, p)), with gradient only for target "shared". The codebook
        is the online one, which does not learn from it, unless it is not shared."""
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
        out = self(batch, collect=True)
        families = self.objective.config.invariance.weights()
        extra = {
            f"invariance_{family}": self._invariance(family, batch, out, step)
            for family in families
        }
        loss, self.weighted = self.objective(out, batch, step, extra, step / max(self.steps, 1))
        self.objective.queue.stage(out.reps.z_target, batch.task)
        self.batch, self.representations = batch, out.reps.detach()
        self.codes, self.target_codes = out.context.codes, out.target.codes
        self.terms = {
            "total": loss.total.detach(),
            **{k: v.detach() for k, v in loss.terms.items()},
        }
        self.shares = {k: v.detach() / loss.total.detach() for k, v in self.weighted.items()}
        return loss.total

    def _invariance(self, family: str, batch: ArcBatch, out: ArcForward, step: int) -> Tensor:
        """Of the example and itself transformed, both through the online encoder but for the target
        as it is."""
        context, target = self.objective.transformed(batch, family, self.seed, step)
        z = self.network.encode(context).vectors.unflatten(0, tuple(batch.present.shape))
        moved = self.network.aggregate(z, batch.present, batch.roles, batch.pairs)
        of_target = self.network.encode(target).vectors
        return self.objective.invariance_term(
            (out.reps.z_agg, moved), (out.target.vectors, of_target)
        )

    def validation_step(self, batch: ArcBatch, batch_idx: int) -> None:
        out = self(batch)
        b, g = batch.present.shape
        last = batch.present.long().cumsum(1).argmax(dim=1)  # the query, or the last frame
        rows = torch.arange(b, device=last.device)
        _, copied = self.encode_target(batch.view.context[rows * g + last])
        unpredicted = self.network.projection(out.reps.z_agg)
        self.batch, self.codes, self.target_codes = batch, out.context.codes, out.target.codes
        self.evaluated = ArcEvaluated(
            out.reps.detach(),
            batch.present,
            copied.float(),
            unpredicted.float(),
            self._blind(out, batch),
            batch.task,
        )

    def _blind(self, out: ArcForward, batch: ArcBatch) -> Tensor | None:
        """z_hat (B, p) with the demonstrations of the example half a batch away, of another task as
        a rule."""
        demo = batch.present & ((batch.roles == DEMO_INPUT) | (batch.roles == DEMO_OUTPUT))
        if not bool(demo.any()) or len(demo) < 2:
            return None
        shift = len(demo) // 2
        there = demo.roll(shift, dims=0)
        z = torch.where(demo.unsqueeze(-1), out.reps.z.roll(shift, dims=0), out.reps.z)
        present = torch.where(demo, there, batch.present)
        z_agg = self.network.aggregate(z, present, batch.roles, batch.pairs)
        return self.network.predict(z_agg).float()

    def training_statistics(self) -> dict[str, float]:
        """Of the last batch: the share of every part of the loss, the temperature, whether it
        stands at a bound, and a query's negatives."""
        values = {f"share/{name}": float(share) for name, share in self.shares.items()}
        if self.objective.config.form == "info_nce":
            values["temperature"] = float(self.objective.temperature().detach())
            values["temperature_clamped"] = float(self.objective.temperature.clamped)
            values["info_nce/negatives"] = self.objective.negatives
        return values

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """The step of the optimiser, and then, once, that of the codebook and of the queue."""
        super().optimizer_step(*args, **kwargs)
        for book in (self.network.vq, self.target_vq):
            if book is not None:
                book.end_step(self.skipped)
        self.objective.end_step(self.skipped)

    @property
    def ema_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """(average, what it follows): the target's encoder and projection, and teachers' heads."""
        pairs = self.objective.aux.ema_pairs
        if self.target_encoder is None or self.target_projection is None:
            return pairs
        own = [
            (self.target_encoder, self.network.encoder),
            (self.target_projection, self.network.projection),
        ]
        return [*own, *pairs]
