"""Names, statuses and values from a run's folder are text in every page, never HTML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comparison_runs import METRIC, make_run
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.inquiry import Inquiry
from jepa_lab.diagnosis.quantities import Quantity
from jepa_lab.diagnosis.trials import CONTROL, Candidate, Result, Trials
from jepa_lab.report import investigation, panels
from jepa_lab.report.comparison.report import ReportRequest, write_report
from jepa_lab.report.page_charts import chart
from jepa_lab.report.panels import Panel, Series
from jepa_lab.report.run_page import RunPage, write_run_page
from jepa_lab.report.table import TableRow
from jepa_lab.report.why import Why

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
    line = Series(SCRIPT, [(1, 1.0)], panels.BLUE, key=SCRIPT)
    event = Finding("diverged", SCRIPT, 1.0, tap=SCRIPT, since=1, quantity=SCRIPT)
    row = Quantity(SCRIPT, 1.0, None, SCRIPT, False)

    def page(text: str, **more: Any) -> str:
        content = RunPage(text, text, [TableRow(text, text, text)], text, text, text, text, **more)
        return write_run_page(tmp_path, content).read_text()

    html = page(
        SCRIPT,
        why=Why((event,), SCRIPT, (row,), {SCRIPT: 1}, (SCRIPT,), (SCRIPT,)),
        loss=SCRIPT,
        tries=[(SCRIPT, SCRIPT)],
        charts={SCRIPT: [chart(Panel(SCRIPT, SCRIPT, [line]), SCRIPT, {SCRIPT: 1.0}, [event])]},
        intervals=SCRIPT,
        facts=[(SCRIPT, SCRIPT)],
    )
    assert html.count("alert(1)") > 20
    assert own_scripts(html) == own_scripts(page("plain"))
    assert "<img" not in html


def test_an_investigation_shows_them_as_text(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "a", 0)
    change = Candidate((f"dataset.problem={SCRIPT}",), SCRIPT)
    inquiry = Inquiry(10, [change])
    for tried in (CONTROL, change):
        result = Result(10, run=str(run))
        inquiry.trials[tried.name, 0] = Trials(tried, 0, 10, {0: result})
    content = investigation.content_of(inquiry, run, SCRIPT, None)
    files = investigation.write_report(content, tmp_path)
    page = files[1].read_text()
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert page.count("<img") == 1  # the figure
    assert json.loads(files[2].read_text())
