"""The probes of a seq-JEPA: classes and actions, read from its encodings and its aggregate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from jepa_lab.data.views.sequences import SequenceBatch
from jepa_lab.networks.probe import Probe
from jepa_lab.studies.seq_jepa.network import Representations, SeqJEPANetwork


class ProbeFeatures(NamedTuple):
    """The inputs of the probes: the representations, and z_agg (B, Da) with all action slots
    zero."""

    reps: Representations
    blind: Tensor


@dataclass(frozen=True)
class SeqJEPAProbes:
    """The probes of a seq-JEPA and their inputs. With `leak_head` "linear", action_from_z_agg is
    linear, as in the public code."""

    leak_head: str = "matched"

    def probes(self, module: Any) -> list[Probe]:
        """Returns the probes for the views and classes of this module."""
        group = module.group
        found = seq_jepa_probes(module.n_classes, group.action_dim, group.n_views - 1)
        leaks = self.leak_head == "linear"
        return [replace(p, linear=leaks and p.name == "action_from_z_agg") for p in found]

    def sample(self, module: Any) -> ProbeFeatures:
        """Returns one row of zeros, for the shapes."""
        network, m = module.network, module.group.n_views - 1
        z, z_agg = network.encoder.dim, network.encoder.dim + network.action_projection.dim
        reps = Representations(
            torch.zeros(1, m, z), torch.zeros(1, z_agg), *[torch.zeros(1, z)] * 2
        )
        return ProbeFeatures(reps, reps.z_agg)

    def of_training(self, module: Any) -> ProbeFeatures:
        """Returns the features of the last training batch, aggregated in evaluation mode."""
        return ProbeFeatures(
            *clean_aggregates(module.network, module.representations, module.batch)
        )

    def of_evaluation(self, module: Any) -> ProbeFeatures:
        """Returns the features of the last evaluation batch."""
        return ProbeFeatures(module.evaluated.reps, module.evaluated.z_agg_blind)


def seq_jepa_probes(n_classes: int, action_dim: int, m: int) -> list[Probe]:
    """Returns the probes of a seq-JEPA with m observed views.

    - class_from_* are linear readouts of z_agg and of the first view's z.
    - action_from_z reads the relative action from view 1 to view 2 from both encodings.
    - action_from_z_agg reads it from the aggregate, which gets it as input (a test of the wiring).
    - relative_action_from_z reads the action between views 2 and 3, neither of which is the
      reference.
    - view_from_z_agg reads the observed views' mean absolute action from an aggregate whose action
      slots are zero.

    All action probes are MLPs of the same width.
    """
    probes = []
    if m >= 2:
        probes.append(
            Probe(
                "action_from_z",
                lambda f: f.reps.z[:, :2].flatten(1),
                lambda b: b.actions[:, 0],
                action_dim,
                False,
            )
        )
        probes.append(
            Probe(
                "action_from_z_agg",
                lambda f: f.reps.z_agg,
                lambda b: b.actions[:, 0],
                action_dim,
                False,
            )
        )
    probes.append(
        Probe(
            "view_from_z_agg",
            lambda f: f.blind,
            lambda b: b.absolute[:, :-1].mean(1),
            action_dim,
            False,
        )
    )
    if m >= 3:
        probes.append(
            Probe(
                "relative_action_from_z",
                lambda f: f.reps.z[:, 1:3].flatten(1),
                lambda b: b.actions[:, 1],
                action_dim,
                False,
            )
        )
    if n_classes > 1:
        probes.append(Probe("class_from_z_agg", lambda f: f.reps.z_agg, _labels, n_classes, True))
        probes.append(Probe("class_from_z", lambda f: f.reps.z[:, 0], _labels, n_classes, True))
    return probes


def _labels(batch: SequenceBatch) -> Tensor:
    assert batch.labels is not None
    return batch.labels


@torch.no_grad()
def clean_aggregates(
    network: SeqJEPANetwork, reps: Representations, batch: SequenceBatch
) -> tuple[Representations, Tensor]:
    """Returns the representations of a training step with z_agg computed again in evaluation mode,
    and the blind aggregate. The probes then learn from aggregates without dropout, as in
    evaluation. The model's random stream and running statistics stay unchanged."""
    readers = (network.aggregator, network.action_projection)
    for module in readers:
        module.eval()
    z_agg = network.aggregate(reps.z, batch.actions)
    blind = network.aggregate_blind(reps.z, z_agg)
    for module in readers:
        module.train()
    return replace(reps, z_agg=z_agg.float()), blind.float()
