"""OnlineProbes: readouts of the representations, trained beside the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.networks.heads import probe_head


@dataclass(frozen=True)
class Probe:
    """A readout: the features that it reads, and the labels or numbers that it predicts."""

    name: str
    read: Callable[[Any], Tensor]  # features -> (B, width)
    answer: Callable[[Any], Tensor]  # batch -> labels (B,), or (B, k) numbers
    outputs: int  # classes, or k
    is_class: bool
    linear: bool = False  # a linear head instead of an MLP; class probes are always linear


class ProbeSource(Protocol):
    """Supplies a study's probes and their features. Each study defines the type of its features."""

    def probes(self, module: Any) -> list[Probe]:
        """Returns the probes of this module."""

    def sample(self, module: Any) -> Any:
        """Returns the features of one sample, filled with zeros, from which each probe's input
        width is read."""

    def of_training(self, module: Any) -> Any:
        """Returns detached features of the module's last training batch."""

    def of_evaluation(self, module: Any) -> Any:
        """Returns features of the module's last evaluation batch."""


class OnlineProbes(pl.Callback):
    """Trains one head per probe with a single fused AdamW, one step per training batch. The
    learning rate falls to 0 along a cosine over `steps` batches. Accuracies (0..1) and R² of every
    evaluation pass are logged as `<prefix>/probe/<name>`. With r2="uniform" a dimension without
    variance counts as 0, as in the public code."""

    def __init__(
        self,
        source: ProbeSource,
        *,
        lr: float,
        weight_decay: float,
        hidden: int,
        steps: int,
        seed: int,
        r2: str = "masked",
    ) -> None:
        self.source = source
        self.lr = lr
        self.weight_decay = weight_decay
        self.hidden = hidden
        self.steps = steps
        self.seed = seed
        self.r2 = r2
        self.step = 0
        self.probes: list[Probe] = []
        self.heads = nn.ModuleDict()
        self.metrics: dict[str, Metric] = {}
        self._restored: dict[str, Any] | None = None
        self._optimiser: torch.optim.Optimizer | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._optimiser is not None:
            return
        self.probes = self.source.probes(pl_module)
        sample = self.source.sample(pl_module)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for probe in self.probes:
                width = probe.read(sample).shape[1]
                linear = probe.is_class or probe.linear
                self.heads[probe.name] = probe_head(
                    width, probe.outputs, 0 if linear else self.hidden
                )
                self.metrics[probe.name] = (
                    MulticlassAccuracy(probe.outputs, average="micro")
                    if probe.is_class
                    else RSquared(probe.outputs, constant_as_zero=self.r2 == "uniform")
                ).to(pl_module.device)
        self.heads.to(pl_module.device)
        decay = self.weight_decay
        self._optimiser = torch.optim.AdamW(
            self.heads.parameters(), lr=self.lr, weight_decay=decay, fused=True
        )
        if self._restored is not None:
            self.heads.load_state_dict(self._restored["heads"])
            self._optimiser.load_state_dict(self._restored["optimiser"])
            self.step = self._restored["step"]

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if not getattr(pl_module, "finite", True):
            self.step += 1
            return
        batch = pl_module.batch
        features = self.source.of_training(pl_module)
        losses = []
        for probe in self.probes:
            answer = probe.answer(batch)
            out = self.heads[probe.name](probe.read(features))
            losses.append(
                F.cross_entropy(out, answer) if probe.is_class else F.mse_loss(out, answer)
            )
        assert self._optimiser is not None
        progress = min(self.step / max(self.steps, 1), 1.0)
        for parameters in self._optimiser.param_groups:
            parameters["lr"] = self.lr * (1.0 + math.cos(math.pi * progress)) / 2.0
        self._optimiser.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        self._optimiser.step()
        self.step += 1

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.heads.eval()
        for metric in self.metrics.values():
            metric.reset()

    @torch.no_grad()
    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        features, batch = self.source.of_evaluation(pl_module), pl_module.batch
        for probe in self.probes:
            out = self.heads[probe.name](probe.read(features))
            self.metrics[probe.name].update(out, probe.answer(batch))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.heads.train()
        if self.metrics:
            values = {
                f"{pl_module.eval_prefix}/probe/{k}": float(m.compute())
                for k, m in self.metrics.items()
            }
            log_metrics(trainer, values)

    def state_dict(self) -> dict[str, Any]:
        if self._optimiser is None:
            return {}
        return {
            "heads": self.heads.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict or None


class RSquared(Metric):
    """Mean over dimensions of 1 - SS_residual / SS_total, in float64.

    A dimension without variance is left out. With `constant_as_zero` it counts as 0, as in
    scikit-learn's mean and the public code. update takes (n, k) predictions and targets. compute
    returns NaN if every dimension is constant.
    """

    full_state_update = False
    count: Tensor
    total: Tensor
    squares: Tensor
    residual: Tensor

    def __init__(self, dims: int, constant_as_zero: bool = False) -> None:
        super().__init__()
        self.constant_as_zero = constant_as_zero
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("total", "squares", "residual"):
            self.add_state(name, torch.zeros(dims, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        predicted, target = predicted.double(), target.double()
        self.count += len(target)
        self.total += target.sum(0)
        self.squares += target.square().sum(0)
        self.residual += (target - predicted).square().sum(0)

    def compute(self) -> Tensor:
        spread = self.squares - self.total.square() / self.count
        # a deviation below 1e-5 is rounding
        varies = spread > torch.maximum(1e-9 * self.squares, 1e-10 * self.count)
        values = 1.0 - self.residual[varies] / spread[varies]
        return values.sum() / len(varies) if self.constant_as_zero else values.mean()
