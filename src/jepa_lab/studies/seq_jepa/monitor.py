"""SeqJEPAMonitor: the collapse monitor for every tap of seq-JEPA, and label-free tests of its
prediction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.callbacks.study_monitor import StudyMonitor
from jepa_lab.config.extensions import MetricOptions
from jepa_lab.losses import skill
from jepa_lab.metrics import (
    Distributions,
    coordinate_participation,
    explained_variance,
    factor_bases,
    subspace_overlap,
    view_metrics,
)
from jepa_lab.metrics.action_use import ActionReadout, action_readout
from jepa_lab.monitor.statistics import MAX_ROWS, FirstRows, TapStatistics
from jepa_lab.studies.seq_jepa.objective import Objective

TAPS = ("z", "z_agg", "z_hat", "z_target", "input")
LOSSES = ("loss", "loss_shuffled", "loss_copy")
MOST_INPUT = 1 << 23  # values of the raw input that are measured, in float64 with some copies
READOUT_ROWS = 256  # sequences for the readout; its time grows with their cube


class SeqJEPAMonitor(StudyMonitor):
    """Reads the published features of an evaluation pass (clean, fixed views, evaluation mode) and
    logs

    - `<prefix>/<tap>/<metric>` for the taps z (all observed views), z_agg, z_hat and z_target, the
      sample size n and the width d among them, and metrics over the views of an image for z;
    - `<prefix>/loss/prediction`, `/skill`, `/action_gain`, `/copy_gain`: the label-free tests of
      the prediction, and `/loss/constant`, the loss of the best constant, at which the skill is 0;
    - `<prefix>/action_use`, `/prediction_gap` and `/readout/...`: the prediction relative to a
      closed-form readout of the same features (for the prediction loss 1 - cos);
    - `<prefix>/z_agg/within_share` from two aggregates of an image, each of different views;
    - for a DINO form `<prefix>/dino/<statistic>` of the teacher's distributions.

    With `subspace` it also logs how much of the change of z from view to view lies in as many
    directions as the action has numbers: `<prefix>/z/subspace_explained_variance` and
    `subspace_coordinate_participation`. With two factors or more, `subspace_overlap` is the largest
    overlap of the directions of two factors. The prefix "reference" (before training) adds the raw
    input, see first_inputs, and the number of classes. `monitor/seconds` is the monitor's own cost
    in seconds. The verdict does not come from here but from the run's ledger.
    """

    def __init__(
        self, subspace: bool = False, metrics: Mapping[str, MetricOptions] | None = None
    ) -> None:
        super().__init__(metrics)
        self.subspace = subspace
        self._pass: EvaluationPass | None = None

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._pass = EvaluationPass(pl_module.objective, self.subspace, self.new_tap)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *args: Any
    ) -> None:
        assert self._pass is not None
        start = time.perf_counter()
        evaluated = pl_module.evaluated
        rows = {name: getattr(evaluated.reps, name) for name in ("z", "z_agg", "z_hat", "z_target")}
        rows |= {name: getattr(evaluated, name) for name in LOSSES}
        rows["actions"] = pl_module.batch.actions
        if pl_module.eval_prefix == "reference":
            rows["input"] = self._pass.first_inputs(pl_module.batch.target.flatten(1))
        group = pl_module.group
        upright = (
            group.n_views == 2 and (pl_module.eval_first_view or group.first_view) == "reference"
        )
        # Both aggregates would otherwise read the same upright view and agree trivially.
        if evaluated.z_agg_again is not None and not upright:
            rows["z_agg_pair"] = torch.stack([evaluated.reps.z_agg, evaluated.z_agg_again], dim=1)
        self._pass.update(rows)
        self.seconds += time.perf_counter() - start

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        assert self._pass is not None
        start = time.perf_counter()
        values = self._pass.values(
            pl_module.eval_prefix, pl_module.n_classes, pl_module.group.action_slices
        )
        self._pass = None
        log_metrics(trainer, values)
        self.seconds += time.perf_counter() - start
        log_metrics(trainer, {"monitor/seconds": self.seconds})


class EvaluationPass:
    """The statistics of a pass over the evaluation set, collected batch by batch. It keeps three
    losses of every row. It keeps features only of the first rows, as many as the metrics need."""

    def __init__(
        self,
        objective: Objective | None = None,
        subspace: bool = False,
        new_tap: Callable[[str], TapStatistics] = lambda name: TapStatistics(),
    ) -> None:
        self.new_tap = new_tap
        self.objective = Objective(None) if objective is None else objective
        self._taps: dict[str, TapStatistics] = {}
        self._losses: dict[str, list[Tensor]] = {name: [] for name in LOSSES}
        self._pairs = FirstRows(MAX_ROWS)
        self.subspace = subspace
        limit = MAX_ROWS if subspace else READOUT_ROWS
        self._first = {name: FirstRows(limit) for name in ("z", "actions", "z_target")}
        self._baseline_rows: Tensor | None = None  # sum over all rows
        self._distributions = Distributions() if self.objective.gives_distributions else None

    def first_inputs(self, images: Tensor) -> Tensor:
        """Returns those of the next images (n, d) that are measured as the raw input: the first of
        all, MOST_INPUT values in total, so that large images take no more memory than many."""
        measured = self._taps["input"].samples if "input" in self._taps else 0
        return images[: max(0, max(2, MOST_INPUT // images.shape[1]) - measured)]

    def update(self, rows: Mapping[str, Tensor]) -> None:
        """Adds a batch: taps (n, d), z (n, M, d) and per-sequence losses (n,). Optional are
        z_agg_pair (n, 2, d) and actions (n, M, A)."""
        for tap in TAPS:
            if tap in rows and len(rows[tap]):
                self._taps.setdefault(tap, self.new_tap(tap)).update(rows[tap])
        for name, values in self._losses.items():
            values.append(rows[name].detach())
        if "z_agg_pair" in rows:
            self._pairs.update(rows["z_agg_pair"])
        if "actions" in rows:
            for name, first in self._first.items():
                first.update(rows[name])
        baseline_rows = self.objective.baseline_rows(rows["z_target"])
        self._baseline_rows = baseline_rows.sum(dim=0) + (
            0 if self._baseline_rows is None else self._baseline_rows
        )
        if self._distributions is not None:
            self._distributions.update(baseline_rows)

    def values(
        self, prefix: str, n_classes: int, factors: Mapping[str, slice] | None = None
    ) -> dict[str, float]:
        """Returns {<prefix>/...: value} of all rows. The rank and spread of a tap that is not
        finite are NaN."""
        out: dict[str, float] = {}
        for tap, statistics in self._taps.items():
            out |= {f"{prefix}/{tap}/{name}": value for name, value in statistics.values().items()}
        pairs = self._pairs.all()
        if pairs is not None and len(pairs) >= 2 and bool(torch.isfinite(pairs).all()):
            out |= {f"{prefix}/z_agg/{name}": value for name, value in view_metrics(pairs).items()}
        assert self._baseline_rows is not None
        losses = {name: torch.cat(values) for name, values in self._losses.items()}
        loss, shuffled, copied = (losses[name].mean() for name in LOSSES)
        constant = self.objective.constant_baseline_loss(self._baseline_rows / len(losses["loss"]))
        out[f"{prefix}/loss/prediction"] = float(loss)
        out[f"{prefix}/loss/constant"] = float(constant)
        out[f"{prefix}/skill"] = float(skill(loss, constant))
        out[f"{prefix}/action_gain"] = float(shuffled - loss)
        out[f"{prefix}/copy_gain"] = float(copied - loss)
        first = [kept for rows in self._first.values() if (kept := rows.all()) is not None]
        if first and self.objective.match is None:
            readout = action_readout(*(rows[:READOUT_ROWS] for rows in first))
            out |= _relative_to(readout, out, prefix)
        if self._distributions is not None:
            out |= {
                f"{prefix}/dino/{name}": float(value)
                for name, value in self._distributions.values().items()
            }
        if first and self.subspace:
            z, actions, _ = first
            out |= measure_subspace(z, actions, factors or {}, prefix)
        if prefix == "reference":
            out["reference/n_classes"] = float(n_classes)
        return out


def _relative_to(
    readout: ActionReadout | None, out: Mapping[str, float], prefix: str
) -> dict[str, float]:
    """Returns the metrics of the prediction in `out` relative to the readout, {} without one.
    action_use is missing if the features hold no trace of the action."""
    if readout is None:
        return {}
    values = {
        "prediction_gap": out[f"{prefix}/loss/prediction"] - readout.loss,
        "readout/loss": readout.loss,
        "readout/loss_without_actions": readout.loss_without,
        "readout/action_gain": readout.gain,
    }
    if readout.shows_actions:
        values["action_use"] = readout.use(out[f"{prefix}/action_gain"])
    return {f"{prefix}/{name}": value for name, value in values.items()}


def measure(
    rows: Mapping[str, Tensor], prefix: str, n_classes: int, objective: Objective | None = None
) -> dict[str, float]:
    """Returns the metrics of a pass of one batch. Without an objective the prediction loss is 1 -
    cos."""
    evaluation = EvaluationPass(objective)
    evaluation.update(rows)
    return evaluation.values(prefix, n_classes)


def measure_subspace(
    z: Tensor, actions: Tensor, factors: Mapping[str, slice], prefix: str
) -> dict[str, float]:
    """Returns the subspace metrics of z (n, M, d) and actions (n, M, A). They describe the n (M -
    1) changes (d,) from view to view in their top A directions, and the largest overlap of the
    directions of two factors. The result is {} for M = 1 or features that are not finite."""
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
