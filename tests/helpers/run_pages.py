"""The content of the page of a run that collapsed, without training one."""

from __future__ import annotations

from jepa_lab.diagnosis import examine
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.report.page_charts import run_charts
from jepa_lab.report.run_page import RunPage
from jepa_lab.report.table import TableRow
from jepa_lab.report.why import why

ROWS = [
    TableRow("Probes", "class", validation="84.3 %", intervals={"validation": "80.1 to 87.8"}),
    TableRow("Prediction", "skill", validation="0.710", reference="expected <0.7>"),
]
STEPS = [100 * i for i in range(1, 9)]
FALLEN = {
    "val/z/effective_rank": [(s, 20.0 if s < 500 else 1.2) for s in STEPS],
    "val/z/feature_std_l2": [(s, 0.8) for s in STEPS],
    "val/z/n": [(s, 512.0) for s in STEPS],
    "val/z/d": [(s, 64.0) for s in STEPS],
}
CONFIG = {"target": {"name": "shared"}, "loss": {"lambda_rate": 0.0}, "optim": {"lr": 0.1}}


def collapsed(
    verdict: str = "dimensional_collapse of z | prediction: learned (skill 0.9)",
) -> RunPage:
    reasons = why(examine(FALLEN, config=CONFIG), FALLEN, CONFIG, Remedies())
    limits = {row.key: row.limit for row in reasons.ranges if row.limit is not None}
    return RunPage(
        title="teacherless_b <seed 0>",
        verdict=verdict,
        rows=ROWS,
        command="python -m jepa_lab '+experiment=glob(teacherless_?)' & echo",
        config_yaml="loss: {lambda_rate: 0.001}",
        gates="1 of 1 passed",
        why=reasons,
        loss="The prediction loss rises.",
        tries=[("Repeat the run with target=ema:", "python -m jepa_lab target=ema"), ("Wait.", "")],
        charts=run_charts(FALLEN, limits, reasons.events),
        intervals="n = 340",
        facts=[("commit", "0123abc")],
    )
