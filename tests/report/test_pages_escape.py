"""Names, statuses and values from a run's folder are text in every page, never HTML."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import simulated_runs
from comparison_runs import METRIC, make_run
from jepa_lab.report.comparison.report import ReportRequest, write_report
from jepa_lab.report.run_page import write_run_page
from jepa_lab.report.table import TableRow
from jepa_lab.studies.arc.investigation.investigate import investigate_run
from jepa_lab.studies.arc.investigation.runs import Limits

SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def own_scripts(page: str) -> int:
    return page.lower().count("<script")


def test_a_comparison_shows_them_as_text(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    for seed in (0, 1):
        make_run(plain, "a", seed)
    expected = own_scripts(write_report(plain, tmp_path / "expected").paths[-1].read_text())
    runs = tmp_path / "runs"
    for seed in (0, 1):
        make_run(runs, "a", seed, settings={"name": SCRIPT, "loss.form": SCRIPT})
        make_run(runs, "b", seed, verdict=SCRIPT, extra={f"test/{SCRIPT}": 1.0}, reason=SCRIPT)
    skipped = runs / "<script>alert(2)"
    skipped.mkdir()
    (skipped / "status.json").write_text("{}")
    page = write_report(runs, tmp_path / "out", ReportRequest(METRIC)).paths[-1].read_text()
    assert "alert(1)" in page
    assert own_scripts(page) == expected
    assert "<img" not in page


def test_a_runs_page_shows_them_as_text(tmp_path: Path) -> None:
    path = write_run_page(
        tmp_path,
        title=SCRIPT,
        verdict_line=SCRIPT,
        table_rows=[TableRow(SCRIPT, SCRIPT, validation=SCRIPT, reference=SCRIPT)],
        command=SCRIPT,
        config_yaml=SCRIPT,
        gates_line=SCRIPT,
    )
    page = path.read_text()
    assert "alert(1)" in page
    assert "<script" not in page
    assert "<img" not in page


@pytest.mark.parametrize("key", ["dataset.problem", "loss.form"])
def test_an_investigation_shows_them_as_text(key: str, tmp_path: Path) -> None:
    trainer = simulated_runs.Trainer(simulated_runs.initialisation)
    run = simulated_runs.failing_run(tmp_path / "<script>alert(1)", trainer, **{key: SCRIPT})
    outcome = investigate_run(run, Limits(max_runs=2), tmp_path / "out", trainer, lambda line: None)
    page = outcome.files[1].read_text()
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<img" not in page
    assert json.loads(outcome.files[2].read_text())
