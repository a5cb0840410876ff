"""The loss of seq-JEPA: the prediction loss and weighted auxiliary terms, each under its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.auxiliary import AuxTerm, AuxTerms
from jepa_lab.losses import (
    DinoLoss,
    LossTerms,
    MismatchedSharpening,
    RateLoss,
    cosine_prediction,
    target_directions,
)
from jepa_lab.metrics import distribution_statistics, loss_over_ln_k
from jepa_lab.studies.seq_jepa.network import Representations


class PredictionLoss(nn.Module):
    """The prediction loss between z_hat and z_target (B, D each) in a form other than 1 - cos. Each
    side may have a prototype head. With `teacher_head` None the student's head also serves as the
    teacher's, as for a target without a teacher of its own. The temperature of DINO's teacher moves
    from `temps[0]` to `temps[1]` over the share `temps[2]` of the run."""

    def __init__(
        self,
        loss: DinoLoss | MismatchedSharpening,
        student_head: nn.Module | None = None,
        teacher_head: nn.Module | None = None,
        temps: tuple[float, float, float] | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.student_head = student_head
        self.teacher_head = teacher_head
        self.temps = temps

    def forward(self, z_hat: Tensor, z_target: Tensor, progress: float) -> LossTerms:
        if isinstance(self.loss, DinoLoss) and self.temps is not None:
            start, end, share = self.temps
            self.loss.teacher_temp = (
                end if progress >= share else start + (end - start) * progress / share
            )
        if self.student_head is None:
            return self.loss(z_hat, z_target)
        with torch.no_grad():
            teacher = (self.teacher_head or self.student_head)(z_target)
        return self.loss(self.student_head(z_hat), teacher)

    @torch.no_grad()
    def distance(self, z_hat: Tensor, z_target: Tensor) -> Tensor:
        """Returns the loss of every row (B,), for evaluation. The centre does not move."""
        if isinstance(self.loss, MismatchedSharpening):
            return row_distance(z_hat, self.loss.sharpen(z_target))
        student = z_hat if self.student_head is None else self.student_head(z_hat)
        log_q = F.log_softmax(student.float() / self.loss.student_temp, dim=-1)
        return -(self.probabilities(z_target) * log_q).sum(-1)

    @torch.no_grad()
    def baseline_rows(self, z_target: Tensor) -> Tensor:
        """Returns rows (B, K) float64 whose mean determines the best constant prediction, see
        Objective.baseline_rows."""
        if isinstance(self.loss, MismatchedSharpening):
            return target_directions(self.loss.sharpen(z_target))
        p = self.probabilities(z_target)
        return (p.cpu() if p.device.type == "mps" else p).double()  # that device has no float64

    def constant(self, z_target: Tensor) -> Tensor:
        """Returns the smallest mean loss of a constant prediction for these targets. For DINO it is
        H(mean p)."""
        return self.constant_baseline_loss(self.baseline_rows(z_target).mean(dim=0))

    def constant_baseline_loss(self, mean: Tensor) -> Tensor:
        """Returns the smallest mean loss of a constant prediction, from the mean (K,) of
        `baseline_rows`."""
        if isinstance(self.loss, DinoLoss):
            return torch.special.entr(mean).sum()
        return 1.0 - mean.norm()

    def probabilities(self, z_target: Tensor) -> Tensor:
        """Returns the teacher's distributions (B, K) for DINO."""
        assert isinstance(self.loss, DinoLoss)
        head = self.teacher_head or self.student_head
        return self.loss.sharpen(z_target if head is None else head(z_target))

    def end_step(self, skipped: bool) -> None:
        """Moves DINO's centre by the rows of the optimiser step. A skipped step drops its rows."""
        if isinstance(self.loss, DinoLoss):
            self.loss.end_step(skipped)

    def statistics(self, terms: Mapping[str, Tensor]) -> dict[str, float]:
        """Returns statistics of the last batch, or {} without distributions. They are
        distribution_statistics of the teacher's distributions, teacher_entropy and kl from `terms`,
        and loss_over_ln_k. The latter is 1 for a student without information."""
        p = self.loss.teacher_probabilities if isinstance(self.loss, DinoLoss) else None
        if p is None:
            return {}
        values = {name: float(value) for name, value in distribution_statistics(p).items()}
        values |= {name: float(terms[name]) for name in ("teacher_entropy", "kl")}
        return {
            **values,
            "loss_over_ln_k": float(loss_over_ln_k(terms["cross_entropy"], p.shape[1])),
        }


class Objective(nn.Module):
    """total = prediction * (1 - cos(z_hat, z_target)) + lambda_rate * (-R) + supervised *
    cross-entropy + each auxiliary term of `aux` times its weight.

    lambda_rate rises linearly from 0 over the share `rate_ramp` of the run. Each auxiliary term has
    its own ramp. `match` replaces 1 - cos. The cross-entropy reads z_agg through a linear
    classifier and is only for the supervised ceiling. The target branch decides whether z_target
    has a gradient. A term of weight 0 is not computed.
    """

    def __init__(
        self,
        rate: RateLoss | None,
        *,
        lambda_rate: float = 0.0,
        prediction: float = 1.0,
        supervised: float = 0.0,
        classifier: nn.Linear | None = None,
        match: PredictionLoss | None = None,
        aux: Mapping[str, AuxTerm] | None = None,
        rate_ramp: float = 0.0,
    ) -> None:
        super().__init__()
        self.rate = rate
        self.lambda_rate = lambda_rate
        self.prediction = prediction
        self.supervised = supervised
        self.classifier = classifier
        self.match = match
        self.aux = AuxTerms(dict(aux or {}))
        self.rate_ramp = rate_ramp

    def arms(self) -> Iterator[tuple[str, AuxTerm]]:
        """Returns the auxiliary terms with their names."""
        return self.aux.named()

    def weights(self, progress: float) -> dict[str, float]:
        """Returns the weight of every term after the share `progress` of the run's steps."""
        rate = (
            self.lambda_rate
            if progress >= self.rate_ramp
            else self.lambda_rate * progress / self.rate_ramp
        )
        own = {"prediction": self.prediction, "rate": rate, "supervised": self.supervised}
        return own | self.aux.weights(progress)

    def weighted(self, terms: dict[str, Tensor], progress: float = 1.0) -> dict[str, Tensor]:
        """Returns the parts of the total: its terms, each times its weight."""
        return {
            name: weight * terms[name]
            for name, weight in self.weights(progress).items()
            if name in terms
        }

    def end_ramps(self) -> None:
        """Sets every weight to its final value."""
        self.rate_ramp = 0.0
        self.aux.end_ramps()

    @property
    def ema_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pairs (average, source) of the teachers' heads."""
        pairs = self.aux.ema_pairs
        if (
            self.match is not None
            and self.match.teacher_head is not None
            and self.match.student_head is not None
        ):
            pairs.append((self.match.teacher_head, self.match.student_head))
        return pairs

    def end_step(self, skipped: bool) -> None:
        """Updates the state that moves once per optimiser step. `skipped` means that the step was
        skipped."""
        if self.match is not None:
            self.match.end_step(skipped)
        self.aux.end_step(skipped)

    def distance(self, z_hat: Tensor, z_target: Tensor) -> Tensor:
        """Returns the prediction loss of every row (B,), without gradient."""
        distance = row_distance if self.match is None else self.match.distance
        return distance(z_hat.detach(), z_target.detach())

    def baseline_rows(self, z_target: Tensor) -> Tensor:
        """Maps targets (B, D) to rows (B, K) float64 whose mean determines the best constant
        prediction. The rows are unit vectors, or DINO's distributions."""
        return (
            target_directions(z_target.detach())
            if self.match is None
            else self.match.baseline_rows(z_target)
        )

    def constant_baseline_loss(self, mean: Tensor) -> Tensor:
        """Returns the smallest mean prediction loss of a constant prediction, from the mean (K,) of
        `baseline_rows`."""
        return 1.0 - mean.norm() if self.match is None else self.match.constant_baseline_loss(mean)

    @property
    def gives_distributions(self) -> bool:
        """Whether the targets are distributions over prototypes, as in DINO."""
        return self.match is not None and isinstance(self.match.loss, DinoLoss)

    def forward(
        self, reps: Representations, labels: Tensor | None, progress: float = 0.0, step: int = 0
    ) -> LossTerms:
        """Returns scalar losses. `terms` are unweighted, and the terms of an auxiliary loss are
        called <name>_<term>. `progress` is the finished share of the run's steps, `step` their
        number."""
        if self.match is None:
            terms = {"prediction": cosine_prediction(reps.z_hat, reps.z_target)}
        else:
            matched = self.match(reps.z_hat, reps.z_target, progress)
            terms = {"prediction": matched.total, **matched.terms}
        if self.rate is not None and self.lambda_rate > 0:
            terms["rate"] = self.rate(reps.z_agg, reps.z)
        if self.classifier is not None and labels is not None:
            terms["supervised"] = F.cross_entropy(self.classifier(reps.z_agg), labels)
        terms |= self.aux(vars(reps), step)
        first, *rest = self.weighted(terms, progress).values()
        return LossTerms(sum(rest, first), terms)


def row_distance(a: Tensor, b: Tensor) -> Tensor:
    """Returns 1 - cos of paired rows, (B,)."""
    return 1.0 - F.cosine_similarity(a.detach().float(), b.detach().float(), dim=-1)
