"""What seq-JEPA minimises: the prediction loss and its weighted companions, every term by its
name."""

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
    """z_hat against z_target, (B, D) each, in a form other than 1 - cos: a loss over two heads, or
    over none.

    With `teacher_head` None the student's head is the teacher's too (a target without a teacher of
    its own). The temperature of DINO's teacher goes from `temps[0]` to `temps[1]` over the first
    `temps[2]` of the run.
    """

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
        """(B,): the loss of every row, as an evaluation reads it; nothing is moved."""
        if isinstance(self.loss, MismatchedSharpening):
            return row_distance(z_hat, self.loss.sharpen(z_target))
        student = z_hat if self.student_head is None else self.student_head(z_hat)
        log_q = F.log_softmax(student.float() / self.loss.student_temp, dim=-1)
        return -(self.probabilities(z_target) * log_q).sum(-1)

    @torch.no_grad()
    def baseline_rows(self, z_target: Tensor) -> Tensor:
        """(B, K) float64: rows whose mean decides the best constant answer, see Objective.answers.
        (B, K) float64: rows whose mean decides the best constant answer, see Objective.answers."""
        if isinstance(self.loss, MismatchedSharpening):
            return target_directions(self.loss.sharpen(z_target))
        p = self.probabilities(z_target)
        return (p.cpu() if p.device.type == "mps" else p).double()  # that device has no float64

    def constant(self, z_target: Tensor) -> Tensor:
        """The least mean loss that one constant answer could have for these targets: for DINO
        H(mean p)."""
        return self.constant_baseline_loss(self.baseline_rows(z_target).mean(dim=0))

    def constant_baseline_loss(self, mean: Tensor) -> Tensor:
        """The same from the mean (K,) of the answers."""
        if isinstance(self.loss, DinoLoss):
            return torch.special.entr(mean).sum()
        return 1.0 - mean.norm()

    def probabilities(self, z_target: Tensor) -> Tensor:
        """The teacher's distributions (B, K) for DINO."""
        assert isinstance(self.loss, DinoLoss)
        head = self.teacher_head or self.student_head
        return self.loss.sharpen(z_target if head is None else head(z_target))

    def end_step(self, skipped: bool) -> None:
        """Moves DINO's centre by the rows of the optimiser step; not by those of one that is left
        out."""
        if isinstance(self.loss, DinoLoss):
            self.loss.end_step(skipped)

    def statistics(self, terms: Mapping[str, Tensor]) -> dict[str, float]:
        """Of the teacher's distributions in the last batch, see distribution_statistics; and of
        that batch's `terms` teacher_entropy, kl and loss_over_ln_k (1: a student that says
        nothing). {} without distributions."""
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
    cross-entropy + the arms of `aux`, each times its weight.

    lambda_rate rises linearly from 0 over the first `rate_ramp` of the run; an arm has a ramp of
    its own. `match` takes the place of 1 - cos. The cross-entropy reads z_agg through a linear
    classifier; it is for the supervised ceiling only. z_target arrives with or without gradient:
    that is the target branch's decision. A term of weight 0 is not computed.
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
        """The arms of the group aux, by name."""
        return self.aux.named()

    def weights(self, progress: float) -> dict[str, float]:
        """The weight of every part when that share of the run's steps is done."""
        rate = (
            self.lambda_rate
            if progress >= self.rate_ramp
            else self.lambda_rate * progress / self.rate_ramp
        )
        own = {"prediction": self.prediction, "rate": rate, "supervised": self.supervised}
        return own | self.aux.weights(progress)

    def weighted(self, terms: dict[str, Tensor], progress: float = 1.0) -> dict[str, Tensor]:
        """The parts of the total: those of `terms` that it holds, each times its weight."""
        return {
            name: weight * terms[name]
            for name, weight in self.weights(progress).items()
            if name in terms
        }

    def end_ramps(self) -> None:
        """Gives every weight at once what it is to become."""
        self.rate_ramp = 0.0
        self.aux.end_ramps()

    @property
    def ema_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """(average, what it follows) of the teachers' heads."""
        pairs = self.aux.ema_pairs
        if (
            self.match is not None
            and self.match.teacher_head is not None
            and self.match.student_head is not None
        ):
            pairs.append((self.match.teacher_head, self.match.student_head))
        return pairs

    def end_step(self, skipped: bool) -> None:
        """Moves what moves once per optimiser step; `skipped`: the step is left out."""
        if self.match is not None:
            self.match.end_step(skipped)
        self.aux.end_step(skipped)

    def distance(self, z_hat: Tensor, z_target: Tensor) -> Tensor:
        """(B,): the prediction loss of every row, without gradient."""
        distance = row_distance if self.match is None else self.match.distance
        return distance(z_hat.detach(), z_target.detach())

    def baseline_rows(self, z_target: Tensor) -> Tensor:
        """(B, K) float64 of targets (B, D): rows whose mean holds all that the best constant answer
        depends on; unit vectors, or DINO's distributions."""
        return (
            target_directions(z_target.detach())
            if self.match is None
            else self.match.baseline_rows(z_target)
        )

    def constant_baseline_loss(self, mean: Tensor) -> Tensor:
        """The least mean prediction loss of one constant answer, from the mean (K,) of `answers`.
        The least mean prediction loss of one constant answer, from the mean (K,) of `answers`."""
        return 1.0 - mean.norm() if self.match is None else self.match.constant_baseline_loss(mean)

    @property
    def gives_distributions(self) -> bool:
        """Whether the answers are distributions over prototypes, as DINO's."""
        return self.match is not None and isinstance(self.match.loss, DinoLoss)

    def forward(
        self, reps: Representations, labels: Tensor | None, progress: float = 0.0, step: int = 0
    ) -> LossTerms:
        """Scalars; `terms` are unweighted; an arm's own are called <arm>_<term>. `progress` is the
        share of the run's steps that is done, `step` their number."""
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
    """1 - cos of paired rows, (B,)."""
    return 1.0 - F.cosine_similarity(a.detach().float(), b.detach().float(), dim=-1)
