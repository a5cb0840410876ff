"""The methods of the benchmark: a base class, and those that compare two views of an image through
a projector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from collapse_bench.encoders import mlp
from jepa_lab.losses import (
    DinoLoss,
    barlow_twins,
    constant_baseline_loss,
    cosine_prediction,
    info_nce,
    sigreg,
    skill,
    vicreg,
)
from jepa_lab.metrics import distribution_statistics
from jepa_lab.networks.ema import ema_update, make_ema_copy
from jepa_lab.networks.prototypes import PrototypeHead

Terms = dict[str, Tensor]
FASTER = 5.0  # learning rate of a predictor over that of the rest


def scaled(images: Tensor) -> Tensor:
    """Returns images in [0, 1] with about unit spread, as every encoder and teacher reads them."""
    return (images - 0.4) / 0.3


class Method(nn.Module):
    """An encoder with its heads and its loss."""

    def __init__(self, encoder: nn.Module, norm: str = "") -> None:
        super().__init__()
        self.encoder, self.norm = encoder, norm
        self.dim = int(encoder.dim)  # type: ignore[arg-type]

    def encode(self, images: Tensor) -> Tensor:
        """Maps images (n, c, h, w) to the encoder's features (n, d)."""
        features: Tensor = self.encoder(scaled(images))
        return features

    def embed(self, images: Tensor) -> Tensor:
        """Maps images to the features that a user keeps, (n, d)."""
        return self.encode(images)

    def unquantised(self, images: Tensor) -> Tensor:
        """Maps images to those features before a codebook, which has no codes before training."""
        return self.embed(images)

    def loss(self, one: Tensor, other: Tensor, labels: Tensor) -> Terms:
        """Returns the loss of two views of each image as `total`, with its terms."""
        raise NotImplementedError

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """Returns the optimiser's groups of parameters: a predictor learns five times faster."""
        fast = {id(p) for p in self.predictor_parameters()}
        learned = [p for p in self.parameters() if p.requires_grad]
        return [
            {"params": [p for p in learned if id(p) not in fast], "lr": lr},
            *[{"params": [p for p in learned if id(p) in fast], "lr": FASTER * lr}] * bool(fast),
        ]

    def predictor_parameters(self) -> Iterator[nn.Parameter]:
        """Returns the parameters of the predictor, if there is one."""
        return iter(())

    def after_step(self) -> None:
        """Updates what moves once per optimiser step."""

    def taps(self, views: Tensor) -> Terms:
        """Maps views (n, v, c, h, w) to named features (n, v, d)."""
        return {"z": _by_view(self.embed, views)}

    def measures(self, one: Tensor, other: Tensor) -> dict[str, float]:
        """Returns further validation metrics of two views of each image."""
        return {}

    def counters(self) -> dict[str, float]:
        """Returns further training metrics of the last batch."""
        return {}

    def predicted(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor] | None:
        """Returns predictions (n, d) from one view and their targets (n, d) in the other, or None
        if the method predicts something else."""
        return None

    def outcome(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """Returns the oracle's quantity of a method without `predicted`, on clean test images."""
        return {}


class Projected(Method):
    """A method with a projector after the encoder."""

    def __init__(self, encoder: nn.Module, norm: str = "", width: int = 64) -> None:
        super().__init__(encoder, norm)
        self.projector = mlp((self.dim, 128, width), norm)

    def project(self, images: Tensor) -> Tensor:
        """Maps images to projections (n, width)."""
        out: Tensor = self.projector(self.encode(images))
        return out

    def taps(self, views: Tensor) -> Terms:
        z = _by_view(self.encode, views)
        return {"z": z, "projector": self.projector(z.flatten(0, 1)).unflatten(0, z.shape[:2])}

    def predicted(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor] | None:
        return self.project(one), self.project(other)


class VICReg(Projected):
    """Bardes, Ponce and LeCun 2022."""

    def __init__(self, encoder: nn.Module, norm: str = "", std: float = 25.0, cov: float = 1.0):
        super().__init__(encoder, norm)
        self.weights = (25.0, std, cov)

    def loss(self, one: Tensor, other: Tensor, labels: Tensor) -> Terms:
        found = vicreg(self.project(one), self.project(other), *self.weights)
        return {"total": found.total, **found.terms}


class BarlowTwins(Projected):
    """Zbontar et al. 2021."""

    def __init__(self, encoder: nn.Module, norm: str = "", off: float = 5e-3):
        super().__init__(encoder, norm)
        self.off = off

    def loss(self, one: Tensor, other: Tensor, labels: Tensor) -> Terms:
        found = barlow_twins(self.project(one), self.project(other), self.off)
        return {"total": found.total, **found.terms}


class InfoNCE(Projected):
    """SimCLR's loss with the negatives of the batch (Chen et al. 2020)."""

    def __init__(self, encoder: nn.Module, norm: str = "", temperature: float = 0.2):
        super().__init__(encoder, norm)
        self.temperature, self.negatives = temperature, 0

    def loss(self, one: Tensor, other: Tensor, labels: Tensor) -> Terms:
        a, b = self.project(one), self.project(other)
        self.negatives = len(a) - 1
        there = info_nce(a, b, temperature=self.temperature).total
        total = (there + info_nce(b, a, temperature=self.temperature).total) / 2
        return {"total": total, "info_nce": total}

    def counters(self) -> dict[str, float]:
        return {"train/info_nce/negatives": float(self.negatives)}


class SIGReg(Projected):
    """LeJEPA (Balestriero and LeCun 2025): views agree, projections are normal."""

    def __init__(self, encoder: nn.Module, norm: str = "", weight: float = 0.05):
        super().__init__(encoder, norm, width=32)
        self.weight, self.step = weight, 0

    def loss(self, one: Tensor, other: Tensor, labels: Tensor) -> Terms:
        a, b = self.project(one), self.project(other)
        agree = (a - b).square().mean()
        spread = (sigreg(a, self.step, 64) + sigreg(b, self.step, 64)) / 2
        return {"total": agree + self.weight * spread, "agreement": agree, "sigreg": spread}

    def after_step(self) -> None:
        self.step += 1


class Predicting(Projected):
    """BYOL (Grill et al. 2020) for a teacher that follows with `tau`, SimSiam (Chen and He 2021)
    for tau None. Without `predictor` the projection itself is compared; without `stop_gradient` the
    target is the online projection and learns too."""

    def __init__(
        self,
        encoder: nn.Module,
        norm: str = "",
        tau: float | None = None,
        predictor: bool = True,
        stop_gradient: bool = True,
    ) -> None:
        super().__init__(encoder, norm)
        self.tau, self.stop_gradient = tau, stop_gradient
        if norm:  # both papers end the projector, or its hidden layer, with a norm
            last = nn.BatchNorm1d(64) if norm == "batch" else nn.LayerNorm(64)
            self.projector = nn.Sequential(self.projector, last)
        self.predictor = mlp((64, 128, 64), norm) if predictor else nn.Identity()
        has_teacher = tau is not None and stop_gradient
        both = nn.Sequential(encoder, self.projector)
        self.teacher = make_ema_copy(both, own_running=True) if has_teacher else None

    def target(self, images: Tensor) -> Tensor:
        """Maps images to targets (n, width)."""
        if self.teacher is None:
            projection = self.project(images)
            return projection.detach() if self.stop_gradient else projection
        with torch.no_grad():
            out: Tensor = self.teacher(scaled(images))
            return out

    def loss(self, one: Tensor, other: Tensor, labels: Tensor) -> Terms:
        there = cosine_prediction(self.predictor(self.project(one)), self.target(other))
        back = cosine_prediction(self.predictor(self.project(other)), self.target(one))
        total = (there + back) / 2
        return {"total": total, "prediction": total}

    def after_step(self) -> None:
        if self.teacher is not None and self.tau is not None:
            online = nn.Sequential(self.encoder, self.projector)
            ema_update(self.teacher, online, self.tau, "own_running")

    def predictor_parameters(self) -> Iterator[nn.Parameter]:
        return self.predictor.parameters()

    def taps(self, views: Tensor) -> Terms:
        found = super().taps(views)
        if self.teacher is not None:
            found["z_target"] = _by_view(self.target, views)
        return found

    def measures(self, one: Tensor, other: Tensor) -> dict[str, float]:
        prediction, target = self.predicted(one, other)
        loss, constant = cosine_prediction(prediction, target), constant_baseline_loss(target)
        return _against_constant(loss, constant)

    def predicted(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        return self.predictor(self.project(one)), self.target(other)


class DINO(Method):
    """Caron et al. 2021, with 64 prototypes and two views."""

    def __init__(
        self,
        encoder: nn.Module,
        norm: str = "",
        tau: float = 0.98,
        centre: bool = True,
        teacher_temp: float = 0.04,
    ) -> None:
        super().__init__(encoder, norm)
        self.tau = tau
        self.head = PrototypeHead(self.dim, 64, hidden=64, bottleneck=32)
        self.teacher = make_ema_copy(nn.Sequential(encoder, self.head), own_running=True)
        decay = 0.9 if centre else 1.0
        self.criterion = DinoLoss(64, teacher_temp=teacher_temp, center_ema_decay=decay)

    def teach(self, images: Tensor) -> Tensor:
        """Maps images to the teacher's logits (n, 64)."""
        with torch.no_grad():
            out: Tensor = self.teacher(scaled(images))
            return out

    def loss(self, one: Tensor, other: Tensor, labels: Tensor) -> Terms:
        student = self.head(torch.cat([self.encode(one), self.encode(other)]))
        found = self.criterion(student, torch.cat([self.teach(other), self.teach(one)]))
        return {"total": found.total, **found.terms}

    def after_step(self) -> None:
        online = nn.Sequential(self.encoder, self.head)
        ema_update(self.teacher, online, self.tau, "own_running")

    def counters(self) -> dict[str, float]:
        p = self.criterion.teacher_probabilities
        if p is None or not bool(torch.isfinite(p).all()):
            return {}
        return {f"train/dino/{k}": float(v) for k, v in distribution_statistics(p).items()}

    def measures(self, one: Tensor, other: Tensor) -> dict[str, float]:
        p = self.criterion.sharpen(self.teach(other)).double()
        log_q = (self.head(self.encode(one)) / self.criterion.student_temp).double().log_softmax(1)
        loss, constant = -(p * log_q).sum(1).mean(), torch.special.entr(p.mean(0)).sum()
        return _against_constant(loss, constant)

    def predicted(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor] | None:
        student = (self.head(self.encode(one)) / self.criterion.student_temp).softmax(1)
        return student, self.criterion.sharpen(self.teach(other))


def _against_constant(loss: Tensor, constant: Tensor) -> dict[str, float]:
    """Returns a loss, that of the best constant, and the skill, as validation metrics."""
    return {
        "loss/prediction": float(loss),
        "loss/constant": float(constant),
        "skill": float(skill(loss, constant)),
    }


def _by_view(network: object, views: Tensor) -> Tensor:
    flat: Tensor = network(views.flatten(0, 1))  # type: ignore[operator]
    return flat.unflatten(0, views.shape[:2])
