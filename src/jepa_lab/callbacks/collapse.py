"""CollapseMonitor: rank, scale and agreement of every tap, on the features of the evaluation pass that runs anyway."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.callbacks.publish import publish
from jepa_lab.losses import best_constant_loss, skill
from jepa_lab.metrics import (
    collapse_metrics,
    coordinate_participation,
    explained_variance,
    factor_bases,
    subspace_overlap,
    view_metrics,
)

MAX_ROWS = 4096  # of a tap's features; more change the metrics less than the noise between seeds


class CollapseMonitor(pl.Callback):
    """Collects the published features of an evaluation pass (clean, fixed views, evaluation mode) and logs

    - `<prefix>/<tap>/<metric>` for the taps z (all observed views), z_agg, z_hat and z_target, the sample size n and
    the
      width d among them; metrics over views of one image for z;
    - `<prefix>/loss/prediction`, `/skill`, `/action_gain`, `/copy_gain`: the label-free tests of the prediction.
    - `<prefix>/z_agg/within_share` from two aggregates of one image, each of its own views.

    With `subspace` also how far the change of z from one view to the next lies in as many directions as the action has
    numbers: `<prefix>/z/subspace_explained_variance` and `subspace_coordinate_participation`; with two factors or more
    also the largest overlap of two factors' directions, `subspace_overlap`.
    With prefix "reference" (before training) the raw input and the number of classes are added. Its own cost is counted
    in seconds under `monitor/seconds`.
    """

    def __init__(self, subspace: bool = False) -> None:
        self.subspace = subspace
        self.seconds = 0.0
        self._rows: dict[str, list[Tensor]] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._rows = {}

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        seen = pl_module.evaluated
        kept = {
            "z": seen.reps.z,
            "z_agg": seen.reps.z_agg,
            "z_hat": seen.reps.z_hat,
            "z_target": seen.reps.z_target,
            "loss": seen.loss,
            "loss_shuffled": seen.loss_shuffled,
            "loss_copy": seen.loss_copy,
        }
        if self.subspace:
            kept["actions"] = pl_module.batch.actions
        if pl_module.eval_prefix == "reference":
            kept["input"] = pl_module.batch.target.flatten(1)
        group = pl_module.group
        upright = group.n_views == 2 and (pl_module.eval_first_view or group.first_view) == "reference"
        if seen.z_agg_again is not None and not upright:  # else both are of the same image, and agree by themselves
            kept["z_agg_pair"] = torch.stack([seen.reps.z_agg, seen.z_agg_again], dim=1)
        for name, value in kept.items():
            self._rows.setdefault(name, []).append(value)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        start = time.perf_counter()
        rows = {name: torch.cat(values) for name, values in self._rows.items()}
        self._rows = {}
        values = measure(rows, pl_module.eval_prefix, pl_module.n_classes, pl_module.objective.constant)
        if self.subspace:
            group = pl_module.group
            values |= measure_subspace(rows["z"], rows["actions"], group.action_slices, pl_module.eval_prefix)
        publish(trainer, values)
        self.seconds += time.perf_counter() - start
        publish(trainer, {"monitor/seconds": self.seconds})

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]


def measure(
    rows: dict[str, Tensor],
    prefix: str,
    n_classes: int,
    constant: Callable[[Tensor], Tensor] = best_constant_loss,
) -> dict[str, float]:
    """The metrics of one pass from its collected rows: taps (n, d), z (n, M, d), per-sequence losses (n,). `constant`
    gives the least loss of one constant answer for targets (n, d).

    A tap that is not finite gets a NaN rank and spread; a metric that is undefined (alpha_req of few points) is left
    out.
    """
    out: dict[str, float] = {}
    for tap in ("z", "z_agg", "z_hat", "z_target", "input"):
        if tap in rows:
            features = rows[tap].flatten(0, -2)[:MAX_ROWS]
            if not bool(torch.isfinite(features).all()):
                out |= {f"{prefix}/{tap}/{k}": math.nan for k in ("effective_rank", "feature_std_l2")}
                continue
            values = collapse_metrics(features)
            out |= {f"{prefix}/{tap}/{k}": v for k, v in values.items() if not math.isnan(v)}
            out[f"{prefix}/{tap}/d"] = float(features.shape[1])
    finite = bool(torch.isfinite(rows["z"]).all())
    if rows["z"].shape[1] >= 2 and finite:
        out |= {f"{prefix}/z/{k}": v for k, v in view_metrics(rows["z"][: MAX_ROWS // 2]).items()}
    if "z_agg_pair" in rows and bool(torch.isfinite(rows["z_agg_pair"]).all()):
        out |= {f"{prefix}/z_agg/{k}": v for k, v in view_metrics(rows["z_agg_pair"]).items()}
    loss = rows["loss"].mean()
    out[f"{prefix}/loss/prediction"] = float(loss)
    out[f"{prefix}/skill"] = float(skill(loss, constant(rows["z_target"])))
    out[f"{prefix}/action_gain"] = float(rows["loss_shuffled"].mean() - loss)
    out[f"{prefix}/copy_gain"] = float(rows["loss_copy"].mean() - loss)
    if prefix == "reference":
        out["reference/n_classes"] = float(n_classes)
    return out


def measure_subspace(z: Tensor, actions: Tensor, factors: Mapping[str, slice], prefix: str) -> dict[str, float]:
    """The change from view to view, (n, M, d) -> (n (M - 1), d) differences, in as many top directions as the actions
    (n, M, A) have numbers, and the largest overlap of two factors' directions; {} for M = 1 or features that are not
    finite."""
    k = actions.shape[-1]
    delta = z.diff(dim=1).flatten(0, 1)[:MAX_ROWS].double()
    if len(delta) < 2 or not bool(torch.isfinite(delta).all()):
        return {}
    bases = factor_bases(delta, actions[:, : z.shape[1] - 1].flatten(0, 1)[: len(delta)], factors)
    overlaps = [float(subspace_overlap(a, b)) for a, b in combinations(bases.values(), 2)]
    overlap = {f"{prefix}/z/subspace_overlap": max(overlaps)} if overlaps else {}
    basis = torch.linalg.svd(delta - delta.mean(0), full_matrices=False).Vh[:k].T
    return {
        **overlap,
        f"{prefix}/z/subspace_explained_variance": float(explained_variance(delta, k)),
        f"{prefix}/z/subspace_coordinate_participation": float(coordinate_participation(basis)),
    }
