"""OnlineProbes: what can be read from the representations, by readouts trained beside the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from jepa_lab.callbacks.publish import publish
from jepa_lab.callbacks.r_squared import RSquared
from jepa_lab.data.sequences import SequenceBatch
from jepa_lab.networks.heads import probe_head
from jepa_lab.networks.seq_jepa import Representations, SeqJEPANetwork


@dataclass
class Probe:
    """A question to the representations: which features, which answer."""

    name: str
    read: Callable[[Representations, Tensor], Tensor]  # (representations, z_agg_blind) -> (B, features)
    answer: Callable[[SequenceBatch], Tensor]  # labels (B,), or (B, k) numbers
    outputs: int
    is_class: bool


def seq_jepa_probes(n_classes: int, action_dim: int, m: int) -> list[Probe]:
    """The probes of a seq-JEPA with m observed views.

    class_from_*: linear readouts of z_agg and of the first view's z. action_from_z: the relative action from view 1 to
    view 2, from both encodings; action_from_z_agg the same from the aggregate, which is told it (a test of the wiring).
    relative_action_from_z: between views 2 and 3, neither of which is the reference. view_from_z_agg: the observed
    views' mean absolute action, from an aggregate whose action slots are zero. All action probes are MLPs of one width.
    """
    probes = [
        Probe("action_from_z", lambda r, _: r.z[:, :2].flatten(1), lambda b: b.actions[:, 0], action_dim, False),
        Probe("action_from_z_agg", lambda r, _: r.z_agg, lambda b: b.actions[:, 0], action_dim, False),
        Probe("view_from_z_agg", lambda _, blind: blind, lambda b: b.absolute[:, :-1].mean(1), action_dim, False),
    ]
    if m < 2:
        probes = probes[2:]
    if m >= 3:
        probes.append(
            Probe(
                "relative_action_from_z",
                lambda r, _: r.z[:, 1:3].flatten(1),
                lambda b: b.actions[:, 1],
                action_dim,
                False,
            )
        )
    if n_classes > 1:
        probes.append(Probe("class_from_z_agg", lambda r, _: r.z_agg, _labels, n_classes, True))
        probes.append(Probe("class_from_z", lambda r, _: r.z[:, 0], _labels, n_classes, True))
    return probes


def _labels(batch: SequenceBatch) -> Tensor:
    assert batch.labels is not None
    return batch.labels


@torch.no_grad()
def clean_aggregates(
    network: SeqJEPANetwork, reps: Representations, batch: SequenceBatch
) -> tuple[Representations, Tensor]:
    """The representations of a training step with z_agg aggregated anew in evaluation mode, and the blind aggregate.

    So probes learn from aggregates without dropout, as they will be read, and the model's random stream and running
    statistics are left alone.
    """
    readers = (network.aggregator, network.action_projection)
    for module in readers:
        module.eval()
    z_agg, blind = network.aggregate(reps.z, batch.actions), network.aggregate_blind(reps.z)
    for module in readers:
        module.train()
    return replace(reps, z_agg=z_agg.float()), blind.float()


class OnlineProbes(pl.Callback):
    """Trains one head per probe with a single fused AdamW, one step per training batch, its rate falling to 0 along a
    cosine over `steps` batches; logs accuracies (0..1) and R² of every evaluation pass under `<prefix>/probe/<name>`.
    `r2` "uniform" and `leak_head` "linear" are the public code's: see ProbesConfig.
    """

    def __init__(
        self,
        *,
        lr: float,
        weight_decay: float,
        hidden: int,
        steps: int,
        seed: int,
        r2: str = "masked",
        leak_head: str = "matched",
    ) -> None:
        self.lr = lr
        self.weight_decay = weight_decay
        self.hidden = hidden
        self.steps = steps
        self.seed = seed
        self.r2 = r2
        self.leak_head = leak_head
        self.step = 0
        self.probes: list[Probe] = []
        self.heads = nn.ModuleDict()
        self.metrics: dict[str, Metric] = {}
        self._restored: dict[str, Any] | None = None
        self._optimiser: torch.optim.Optimizer | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._optimiser is not None:
            return
        group = pl_module.group
        self.probes = seq_jepa_probes(pl_module.n_classes, group.action_dim, group.n_views - 1)
        network = pl_module.network
        widths = {"z": network.encoder.dim, "z_agg": network.encoder.dim + network.action_projection.dim}
        m = group.n_views - 1
        sample = Representations(
            torch.zeros(1, m, widths["z"]), torch.zeros(1, widths["z_agg"]), *[torch.zeros(1, widths["z"])] * 2
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for probe in self.probes:
                width = probe.read(sample, sample.z_agg).shape[1]
                linear = probe.is_class or (probe.name == "action_from_z_agg" and self.leak_head == "linear")
                self.heads[probe.name] = probe_head(width, probe.outputs, 0 if linear else self.hidden)
                self.metrics[probe.name] = (
                    MulticlassAccuracy(probe.outputs, average="micro")
                    if probe.is_class
                    else RSquared(probe.outputs, constant_as_zero=self.r2 == "uniform")
                ).to(pl_module.device)
        self.heads.to(pl_module.device)
        decay = self.weight_decay
        self._optimiser = torch.optim.AdamW(self.heads.parameters(), lr=self.lr, weight_decay=decay, fused=True)
        if self._restored is not None:
            self.heads.load_state_dict(self._restored["heads"])
            self._optimiser.load_state_dict(self._restored["optimiser"])
            self.step = self._restored["step"]

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if not getattr(pl_module, "finite", True):
            self.step += 1
            return
        batch = pl_module.batch
        reps, blind = clean_aggregates(pl_module.network, pl_module.representations, batch)
        losses = []
        for probe in self.probes:
            answer = probe.answer(batch)
            out = self.heads[probe.name](probe.read(reps, blind))
            losses.append(F.cross_entropy(out, answer) if probe.is_class else F.mse_loss(out, answer))
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
        seen, batch = pl_module.evaluated, pl_module.batch
        for probe in self.probes:
            out = self.heads[probe.name](probe.read(seen.reps, seen.z_agg_blind))
            self.metrics[probe.name].update(out, probe.answer(batch))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.heads.train()
        if self.metrics:
            values = {f"{pl_module.eval_prefix}/probe/{k}": float(m.compute()) for k, m in self.metrics.items()}
            publish(trainer, values)

    def state_dict(self) -> dict[str, Any]:
        if self._optimiser is None:
            return {}
        return {"heads": self.heads.state_dict(), "optimiser": self._optimiser.state_dict(), "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict or None
