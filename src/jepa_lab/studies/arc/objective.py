"""The objective of the ARC JEPA: the prediction loss and weighted regularisers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.auxiliary import AuxTerm, AuxTerms
from jepa_lab.losses.info_nce import info_nce, negatives, same_task
from jepa_lab.losses.sigreg import sigreg, sigreg_published
from jepa_lab.losses.terms import LossTerms
from jepa_lab.networks.queue import NegativeQueue
from jepa_lab.networks.temperature import Temperature
from jepa_lab.ranks import gather_rows, mean_of_rows, share
from jepa_lab.studies.arc.config import ArcLossConfig
from jepa_lab.studies.arc.data.batch import ArcBatch, GridTokens
from jepa_lab.studies.arc.network import ArcRepresentations, Encoded
from jepa_lab.studies.arc.relational import (
    relational_of_rows,
    relational_published,
    relational_rows,
)
from jepa_lab.studies.arc.token_invariance import (
    invariance,
    published_color,
    published_symmetry,
    published_translation,
    transform_generator,
)


@dataclass
class ArcForward:
    """The input of the objective from one forward pass: the representations, the encoded context
    (B * G grids) and the encoded target (B grids)."""

    reps: ArcRepresentations
    context: Encoded
    target: Encoded


class ArcObjective(nn.Module):
    """The weighted sum of prediction, sigreg, relational, the codebook's loss, invariance terms and
    the auxiliary losses `aux`.

    The prediction term is InfoNCE of z_hat against z_target, with the rows of the queue as further
    negatives. With form "l2" it is the squared distance of the unit vectors, mean over dimensions.
    A term of weight 0 is not computed. Invariance terms are passed to `forward`, since they need
    forward passes of their own. An auxiliary loss with the name of a term of weight above 0 is
    called aux_<name> among the terms. For example, loss.sigreg and aux.sigreg at another tap both
    count.
    """

    def __init__(
        self,
        config: ArcLossConfig,
        dim: int,
        shared_target: bool,
        aux: Mapping[str, AuxTerm] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        taken = {"sigreg"} if config.sigreg.weight > 0 else set()
        self.aux = AuxTerms(
            {f"aux_{name}" if name in taken else name: term for name, term in (aux or {}).items()}
        )
        self.queue = NegativeQueue(config.queue if config.form == "info_nce" else 0, dim)
        t = config.temperature
        learn = t.learn and config.form == "info_nce"
        self.temperature = Temperature(t.init, t.min, t.max, learn=learn, bound=t.bound)
        self.shared_target = shared_target
        self.negatives = torch.zeros(())  # mean number of negatives per query in the last batch

    def weights(self, progress: float = 1.0) -> dict[str, float]:
        """Returns {term: weight} of every possible term after the share `progress` of the run's
        steps. The weight of vq is 1, since the codebook weights its own loss."""
        c = self.config
        weights = {
            "prediction": 1.0,
            "vq": 1.0,
            "sigreg": c.sigreg.weight,
            "relational": c.relational.weight,
        }
        weights["relational_self"] = c.relational.self_weight
        weights |= {f"invariance_{name}": weight for name, weight in c.invariance.weights().items()}
        return weights | self.aux.weights(progress)

    def forward(
        self,
        out: ArcForward,
        batch: ArcBatch,
        step: int,
        extra: dict[str, Tensor] | None = None,
        progress: float = 1.0,
    ) -> tuple[LossTerms, dict[str, Tensor]]:
        """Returns the total with all unweighted terms, and the weighted parts whose sum is the
        total.

        `step` is the number of optimiser steps done, `progress` their share of the run. `extra`
        holds the invariance terms by name.
        """
        terms = {"prediction": self.prediction(out.reps, batch.task), **(extra or {})}
        if self.config.form == "info_nce":
            terms["info_nce"] = terms["prediction"]
        if self.config.sigreg.weight > 0:
            terms["sigreg"] = self.sigreg(out.reps, step)
        if max(self.config.relational.weight, self.config.relational.self_weight) > 0:
            terms |= self.relational(out, batch)
        terms |= self.aux(out.reps.taps(batch.numbers()), step)
        known = self.weights(progress)
        weighted = {
            name: known[name] * term
            for name, term in terms.items()
            if name in self.aux or known.get(name, 0.0) > 0  # an auxiliary weight may rise from 0
        }
        book = out.context.loss
        if book is not None:
            terms |= book.terms
            weighted["vq"] = book.total
        return LossTerms(torch.stack(list(weighted.values())).sum(), terms), weighted

    def prediction(self, reps: ArcRepresentations, task: Tensor) -> Tensor:
        """Returns the mean prediction loss of a batch. InfoNCE also sets `negatives`."""
        if self.config.form == "l2":
            return F.mse_loss(
                F.normalize(reps.z_hat.float(), dim=1), F.normalize(reps.z_target.float(), dim=1)
            )
        rows, tasks = self.queue.filled
        exclude = same_task(task, tasks) if self.config.exclude_same_task else None
        self.negatives = negatives(len(task), len(rows), exclude).float().mean()
        return info_nce(reps.z_hat, reps.z_target, rows, self.temperature(), exclude=exclude).total

    def sigreg(self, reps: ArcRepresentations, step: int) -> Tensor:
        """Returns SIGReg of the predictions, averaged with that of the targets if they have a
        gradient. The published form reads the predictions alone."""
        c = self.config.sigreg
        options = {"n_slices": c.n_slices, "t_max": c.t_max, "n_points": c.n_points}
        if c.form == "published":
            return sigreg_published(reps.z_hat, step, **options)  # type: ignore[arg-type]
        branches = [reps.z_hat, reps.z_target] if self.shared_target else [reps.z_hat]
        return torch.stack([sigreg(z, step, **options) for z in branches]).mean()  # type: ignore[arg-type]

    def relational(self, out: ArcForward, batch: ArcBatch) -> dict[str, Tensor]:
        """Returns the relational terms between objects of the query and of the target. The
        published form reads the objects of every context grid."""
        target = batch.view.target
        (n, g), b = batch.present.shape, len(target)
        tokens, masks = (
            x.unflatten(0, (b, g)) for x in (out.context.tokens, batch.view.context.mask)
        )
        if self.config.relational.form == "normalised":
            rows = relational_rows(tokens[:, -1], out.target.tokens, masks[:, -1], target.mask)
            per_grid, counted = gather_rows(rows, n)
            return relational_of_rows(per_grid, counted).terms
        near = batch.view.context.adjacency.unflatten(0, (b, g))
        found = relational_published(
            tokens, out.target.tokens, near, target.adjacency, masks, target.mask
        )
        return {name: mean_of_rows(term, b, n) for name, term in found.terms.items()}

    def transformed(
        self, batch: ArcBatch, family: str, seed: int, step: int
    ) -> tuple[GridTokens, GridTokens]:
        """Returns context and target of a batch after a transform of `family`.

        The form "true" takes the transforms of the loader, which are symmetries of the grids. The
        published form transforms tokens, with independent draws for context and target.
        """
        if self.config.invariance.form == "true":
            view = batch.transformed[family]
            return view.context, view.target
        moved = []
        for branch, tokens in (("context", batch.view.context), ("target", batch.view.target)):
            source = transform_generator(seed, step, family, branch)
            features = self._published(family, tokens, source, len(batch.index))
            moved.append(replace(tokens, features=features))
        return moved[0], moved[1]

    def _published(
        self, family: str, tokens: GridTokens, source: torch.Generator, n: int
    ) -> Tensor:
        """Returns the transformed features of this process's grids, of a batch of n examples. Every
        object has a draw of its own in a translation, those of other processes too."""
        if family == "translation":
            mine = share(n)
            grids = len(tokens) // (mine.stop - mine.start)  # of an example
            rows = slice(mine.start * grids, mine.stop * grids)
            features, mask = (
                x.new_zeros(n * grids, *x.shape[1:]) for x in (tokens.features, tokens.mask)
            )
            features[rows], mask[rows] = tokens.features, tokens.mask
            delta = self.config.invariance.max_delta
            return published_translation(features, mask, source, delta)[rows]
        transform = published_color if family == "color" else published_symmetry
        return transform(tokens.features, tokens.mask, source)

    @staticmethod
    def invariance_term(context: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
        """Returns the distance of the (original, transformed) vectors (B, h) of the context plus
        that of the target."""
        return invariance(*context) + invariance(*target)

    def end_step(self, skipped: bool) -> None:
        """Adds the rows of the optimiser step to the queue, or drops them if the step was skipped.
        Ends the step of the auxiliary losses."""
        if skipped:
            self.queue.drop()
        else:
            self.queue.commit()
        self.aux.end_step(skipped)
