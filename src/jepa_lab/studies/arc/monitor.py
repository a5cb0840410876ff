"""The collapse monitor on every tap of the ARC JEPA, with metrics of the prediction."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.callbacks.study_monitor import StudyMonitor
from jepa_lab.config.extensions import MetricOptions
from jepa_lab.losses.info_nce import chance, info_nce_rows, negatives, same_task
from jepa_lab.metrics.retrieval import candidates, retrieval
from jepa_lab.monitor.statistics import TapStatistics
from jepa_lab.studies.arc.module import ArcEvaluated
from jepa_lab.studies.arc.retrieval import RankedSplit, compared_values

TAPS = ("z", "z_agg", "z_hat", "z_target")
MOST = 2048  # largest number of rows for the metrics of the prediction
# prefixes of the passes that log the plain baselines, and the split of each. The baselines do not
# depend on the weights, so one pass for a split is enough.
WITH_BASELINES = {"reference": "val", "test": "test"}


class ArcMonitor(StudyMonitor):
    """Reads the features of an evaluation pass (clean grids, evaluation mode) and logs

    - `<prefix>/<tap>/<metric>` for z (all present context grids), z_agg, z_hat and z_target,
      including n and d;
    - `<prefix>/loss/prediction`: InfoNCE of the first 2048 rows of the set, at the current
      temperature. Negatives of a row are the targets of all other tasks, independent of batch and
      queue;
    - `<prefix>/info_nce/chance`: the loss of an uninformed model;
    - `<prefix>/skill` = 1 - loss / chance;
    - `<prefix>/demo_gain` and `copy_gain`: increase of that loss if demonstrations are those of
      another example, and if the answer is the query's own input;
    - `<prefix>/retrieval/{top1,mrr}`: retrieval of the true output among 100 outputs of other
      tasks. The prefix `copy_` stands for the query's input as the answer, `no_predictor_` for the
      context without the predictor. `retrieval/candidates` is the number of candidates;
    - `reference/` and `test/retrieval/plain/<baseline>/{top1,mrr}`: the same retrieval by
      measurements of the grids, see plain_baselines.py;
    - `test/retrieval/rule/<kind>/{top1,copy_top1,plain_top1,n}`: by kind of rule, see retrieval.py.

    `splits` has the examples of the splits val and test; without it the last two are missing.
    Metrics of the prediction are missing if all rows are of one task. The cost of monitoring is
    logged as `monitor/seconds`. The verdict is derived from the ledger of the run, not here.
    """

    def __init__(
        self,
        metrics: Mapping[str, MetricOptions] | None = None,
        splits: Mapping[str, RankedSplit] | None = None,
    ) -> None:
        super().__init__(metrics)
        self.splits = splits or {}
        self._taps: dict[str, TapStatistics] = {}
        self._rows: dict[str, list[Tensor]] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._taps, self._rows = {tap: self.new_tap(tap) for tap in TAPS}, {}

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *args: Any
    ) -> None:
        start = time.perf_counter()
        batch: ArcEvaluated = pl_module.evaluated
        for tap in TAPS:
            features = getattr(batch.reps, tap)
            self._taps[tap].update(features[batch.present] if tap == "z" else features)
        rows = {"z_hat": batch.reps.z_hat, "z_target": batch.reps.z_target, "task": batch.task}
        rows |= {"copied": batch.copied, "unpredicted": batch.unpredicted}
        rows["index"] = pl_module.batch.index
        if batch.blind is not None:
            rows["blind"] = batch.blind
        for name, values in rows.items():
            self._rows.setdefault(name, []).append(values.detach().cpu())
        self.seconds += time.perf_counter() - start

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        start = time.perf_counter()
        prefix = pl_module.eval_prefix
        values = {
            f"{tap}/{k}": v
            for tap, statistics in self._taps.items()
            for k, v in statistics.values().items()
        }
        rows = {name: torch.cat(parts)[:MOST] for name, parts in self._rows.items()}
        self._taps, self._rows = {}, {}
        with torch.no_grad():
            temperature = float(pl_module.objective.temperature())
        values |= prediction_values(rows, temperature)
        split = self.splits.get(WITH_BASELINES.get(prefix, ""))
        if split is not None:
            values |= compared_values(rows, split, by_kind=prefix == "test")
        log_metrics(trainer, {f"{prefix}/{name}": value for name, value in values.items()})
        self.seconds += time.perf_counter() - start
        log_metrics(trainer, {"monitor/seconds": self.seconds})


def prediction_values(rows: dict[str, Tensor], temperature: float) -> dict[str, float]:
    """Returns the metrics of the prediction, see ArcMonitor; {} if all rows are of one task.

    `rows` holds z_hat, z_target, copied, unpredicted and optionally blind, each (n, p), and task
    (n,).
    """
    task = rows["task"]
    if len(torch.unique(task)) < 2:
        return {}
    excluded = same_task(task)
    heat = torch.tensor(temperature)  # that of a diverged run is NaN, which only a tensor may be

    def loss(query: Tensor) -> float:
        each = info_nce_rows(query, rows["z_target"], temperature=heat, exclude=excluded)
        return float(each.double().mean())

    own, at_chance = loss(rows["z_hat"]), float(chance(negatives(len(task), exclude=excluded)))
    values = {"loss/prediction": own, "info_nce/chance": at_chance, "skill": 1.0 - own / at_chance}
    values["copy_gain"] = loss(rows["copied"]) - own
    if "blind" in rows and len(rows["blind"]) == len(task):
        values["demo_gain"] = loss(rows["blind"]) - own
    among = candidates(task)
    for name, key in (("z_hat", ""), ("copied", "copy_"), ("unpredicted", "no_predictor_")):
        found = retrieval(rows[name], rows["z_target"], among)
        values |= {f"retrieval/{key}{metric}": float(value) for metric, value in found.items()}
    return values | {"retrieval/candidates": float(among.shape[1])}
