"""Statistics of ARC runs for use in claims."""

from __future__ import annotations

from typing import Literal

from jepa_lab.ledger.finished_run import Run
from jepa_lab.ledger.parquet import history_of
from jepa_lab.studies.arc.run_verdict import run_verdict
from jepa_lab.studies.statistic import Statistic, Value, only

Part = Literal["codebook", "z", "z_agg", "z_hat", "z_target", "loss", "skill", "temperature"]


def first_to_fall(runs: list[Run], part: Part) -> Value:
    """Returns 1 if the first quantity to leave its range has `part` in its key, else 0. It is also
    0 if no quantity left its range."""
    run = only(runs)
    verdict = run_verdict(history_of(run.path), "completed", config=run.config)
    return float(verdict.first is not None and part in verdict.first.quantity.split("/"))


STATISTICS = {
    "first_to_fall": Statistic(first_to_fall, "share of runs whose {part} left its range first")
}
