"""OnlineProbes: readouts of the representations, trained beside the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NotRequired, Protocol, TypedDict, Unpack

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.networks.probe import Probe


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


class HeadOptions(TypedDict):
    """How heads are made and trained. The learning rate `lr` falls to 0 along a cosine over `steps`
    batches. `hidden` is the width of an MLP. With r2="uniform" a dimension without variance counts
    as 0, as in the public code."""

    lr: float
    weight_decay: float
    hidden: int
    steps: int
    seed: int
    r2: NotRequired[str]  # masked | uniform


class ProbeHeads:
    """One head per probe, all trained with a single fused AdamW.

    `sample` holds the features of one sample, from which the widths are read. The heads are drawn
    from the seed on a forked random stream. `step` counts the batches so far."""

    def __init__(
        self,
        probes: Sequence[Probe],
        sample: Any,
        device: torch.device,
        **options: Unpack[HeadOptions],
    ) -> None:
        self.probes = list(probes)
        self.lr = options["lr"]
        self.steps = options["steps"]
        self.step = 0
        self.heads = nn.ModuleDict()
        self.metrics: dict[str, Metric] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options["seed"])
            for probe in self.probes:
                self.heads[probe.name] = probe.head(sample, options["hidden"])
                self.metrics[probe.name] = (
                    MulticlassAccuracy(probe.outputs, average="micro", sync_on_compute=False)
                    if probe.is_class
                    else RSquared(probe.outputs, constant_as_zero=options.get("r2") == "uniform")
                ).to(device)
        self.heads.to(device)
        self.optimiser = torch.optim.AdamW(
            self.heads.parameters(), lr=self.lr, weight_decay=options["weight_decay"], fused=True
        )

    def learn(self, features: Any, batch: Any) -> None:
        """Takes one step on the features and the answers of a batch."""
        self.optimiser.zero_grad(set_to_none=True)
        self.set_gradients(features, batch)
        progress = min(self.step / max(self.steps, 1), 1.0)
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = self.lr * (1.0 + math.cos(math.pi * progress)) / 2.0
        self.optimiser.step()
        self.step += 1

    def set_gradients(self, features: Any, batch: Any) -> None:
        """Sets the gradients of the sum of all losses, cross-entropies and squared errors."""
        losses = []
        for probe in self.probes:
            answer = probe.answer(batch)
            out = self.heads[probe.name](probe.read(features))
            losses.append(
                F.cross_entropy(out, answer) if probe.is_class else F.mse_loss(out, answer)
            )
        torch.stack(losses).sum().backward()

    def start_scoring(self) -> None:
        """Sets evaluation mode and forgets the scored batches."""
        self.heads.eval()
        for metric in self.metrics.values():
            metric.reset()

    @torch.no_grad()
    def score(self, features: Any, batch: Any) -> None:
        """Adds a batch to the scores."""
        for probe in self.probes:
            out = self.heads[probe.name](probe.read(features))
            self.metrics[probe.name].update(out, probe.answer(batch))

    def scores(self) -> dict[str, float]:
        """Returns the accuracy or R² of every probe on the scored batches, and sets training
        mode."""
        self.heads.train()
        return {name: float(metric.compute()) for name, metric in self.metrics.items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "heads": self.heads.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.heads.load_state_dict(state["heads"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]


class OnlineProbes(pl.Callback):
    """Trains one head per probe (see ProbeHeads), one step per training batch. Accuracies (0..1)
    and R² of every evaluation pass are logged as `<prefix>/probe/<name>`."""

    def __init__(self, source: ProbeSource, **options: Unpack[HeadOptions]) -> None:
        self.source = source
        self.options = options
        self._trained: ProbeHeads | None = None
        self._restored: dict[str, Any] | None = None

    @property
    def heads(self) -> nn.ModuleDict:
        """The heads by name of their probe, empty before the start of training."""
        return nn.ModuleDict() if self._trained is None else self._trained.heads

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._trained is not None:
            return
        self._trained = ProbeHeads(
            self.source.probes(pl_module),
            self.source.sample(pl_module),
            pl_module.device,
            **self.options,
        )
        if self._restored is not None:
            self._trained.load_state_dict(self._restored)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        assert self._trained is not None
        if not getattr(pl_module, "finite", True):
            self._trained.step += 1
            return
        self._trained.learn(self.source.of_training(pl_module), pl_module.batch)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._trained is not None:
            self._trained.start_scoring()

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if self._trained is not None:
            self._trained.score(self.source.of_evaluation(pl_module), pl_module.batch)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._trained is not None:
            scores = self._trained.scores()
            log_metrics(
                trainer, {f"{pl_module.eval_prefix}/probe/{k}": v for k, v in scores.items()}
            )

    def state_dict(self) -> dict[str, Any]:
        return {} if self._trained is None else self._trained.state_dict()

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
        # the rows are those of all processes, and one of these scores them
        super().__init__(sync_on_compute=False)
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
