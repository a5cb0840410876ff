"""Statistics of ARC runs that claims can be about."""

from __future__ import annotations

from typing import Literal

from jepa_lab.ledger.finished_run import Run
from jepa_lab.ledger.parquet import history_of
from jepa_lab.studies.arc.investigation.run_verdict import run_verdict
from jepa_lab.studies.statistic import Statistic, Value, only

Part = Literal[
    "codebook", "z", "z_agg", "z_hat", "z_target", "loss", "skill", "temperature"
]  # of what a run logs


def first_to_fall(runs: list[Run], part: Part) -> Value:
    """1 where the quantity that left its range first belongs to `part`, else 0, also where none
    did."""
    run = only(runs)
    verdict = run_verdict(history_of(run.path), "completed", config=run.config)
    return float(verdict.first is not None and part in verdict.first.quantity.split("/"))


STATISTICS = {
    "first_to_fall": Statistic(first_to_fall, "share of runs whose {part} left its range first")
}
