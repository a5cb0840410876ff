"""ArcMonitor: the collapse monitor on every tap of the ARC JEPA, and what its prediction is worth.
ArcMonitor: the collapse monitor on every tap of the ARC JEPA, and what its prediction is worth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.callbacks.collapse import CollapseMonitor, TapStatistics
from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.config.extensions import MetricOptions
from jepa_lab.losses.info_nce import chance, info_nce_rows, negatives, same_task
from jepa_lab.metrics.retrieval import candidates, retrieval
from jepa_lab.studies.arc.module import ArcEvaluated

TAPS = ("z", "z_agg", "z_hat", "z_target")
MOST = 2048  # rows that the prediction is measured on


class ArcMonitor(CollapseMonitor):
    """Reads the features of an evaluation pass (clean grids, evaluation mode) and logs

    - `<prefix>/<tap>/<metric>` for z (all present context grids), z_agg, z_hat and z_target, n and
      d among them;
    - `<prefix>/loss/prediction`: InfoNCE of every row against the targets of all other tasks in the
      set (the first 2048 rows; neither batch nor queue matters), at the temperature of the moment;
      `/info_nce/chance`, the loss of a model that knows nothing; `/skill` = 1 - loss / chance;
    - `<prefix>/demo_gain`, `/copy_gain`: by how much that loss grows with demonstrations of another
      example, and with the query's own input as the answer;
    - `<prefix>/retrieval/{top1,mrr}`: the true output among 100 outputs of other tasks; with
      `copy_` for the query's input and `no_predictor_` for the context without the predictor as the
      answer; `candidates`, how many there were.

    Where the rows are all of one task, nothing of the prediction is logged. The cost is counted in
    seconds under `monitor/seconds`; the verdict is the run's, from its ledger.
    """

    def __init__(self, metrics: Mapping[str, MetricOptions] | None = None) -> None:
        super().__init__(verbose=False, metrics=metrics)
        self._seen: dict[str, TapStatistics] = {}
        self._rows: dict[str, list[Tensor]] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._seen, self._rows = {tap: self.new_tap(tap) for tap in TAPS}, {}

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *args: Any
    ) -> None:
        start = time.perf_counter()
        seen: ArcEvaluated = pl_module.evaluated
        for tap in TAPS:
            features = getattr(seen.reps, tap)
            self._seen[tap].update(features[seen.present] if tap == "z" else features)
        rows = {"z_hat": seen.reps.z_hat, "z_target": seen.reps.z_target, "task": seen.task}
        rows |= {"copied": seen.copied, "unpredicted": seen.unpredicted}
        if seen.blind is not None:
            rows["blind"] = seen.blind
        for name, values in rows.items():
            self._rows.setdefault(name, []).append(values.detach().cpu())
        self.seconds += time.perf_counter() - start

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        start = time.perf_counter()
        prefix = pl_module.eval_prefix
        values = {
            f"{tap}/{k}": v for tap, seen in self._seen.items() for k, v in seen.values().items()
        }
        rows = {name: torch.cat(parts)[:MOST] for name, parts in self._rows.items()}
        self._seen, self._rows = {}, {}
        with torch.no_grad():
            temperature = float(pl_module.objective.temperature())
        values |= prediction_values(rows, temperature)
        log_metrics(trainer, {f"{prefix}/{name}": value for name, value in values.items()})
        self.seconds += time.perf_counter() - start
        log_metrics(trainer, {"monitor/seconds": self.seconds})

    def on_fit_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}


def prediction_values(rows: dict[str, Tensor], temperature: float) -> dict[str, float]:
    """What the prediction is worth, from z_hat, z_target, copied, unpredicted, perhaps blind (n, p)
    and task (n,), see ArcMonitor; {} where all rows are of one task."""
    task = rows["task"]
    if len(torch.unique(task)) < 2:
        return {}
    excluded = same_task(task)

    def loss(query: Tensor) -> float:
        each = info_nce_rows(query, rows["z_target"], temperature=temperature, exclude=excluded)
        return float(each.double().mean())

    own, most = loss(rows["z_hat"]), float(chance(negatives(len(task), exclude=excluded)))
    values = {"loss/prediction": own, "info_nce/chance": most, "skill": 1.0 - own / most}
    values["copy_gain"] = loss(rows["copied"]) - own
    if "blind" in rows and len(rows["blind"]) == len(task):
        values["demo_gain"] = loss(rows["blind"]) - own
    among = candidates(task)
    for name, key in (("z_hat", ""), ("copied", "copy_"), ("unpredicted", "no_predictor_")):
        found = retrieval(rows[name], rows["z_target"], among)
        values |= {f"retrieval/{key}{metric}": float(value) for metric, value in found.items()}
    return values | {"retrieval/candidates": float(among.shape[1])}
