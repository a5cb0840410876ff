"""The end of a sweep that was stopped: jobs that never began take one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from comparison_runs import METRIC, make_run
from jepa_lab.ledger.sweep_folder import ArmTuning, Candidate, Record, Tuning, write_tuning
from jepa_lab.report.comparison.report import aux_comparison
from jepa_lab.sweep.outcome import show_sweep
from jepa_lab.sweep.records import RunningSweep

JOBS = 300


def stopped_sweep(folder: Path) -> list[Record]:
    """Writes the records of a sweep that was stopped in its second of JOBS jobs."""
    records = []
    for job in range(1, JOBS + 1):
        state = {1: "done", 2: "stopped"}.get(job, "to do")
        run = folder / "runs" / "none" / f"none-{job}"
        if state != "to do":
            make_run(folder / "runs", "none", job, state=state.replace("done", "completed"))
        overrides = ["aux=none", f"seed={job}"]
        records.append(Record(job, overrides, state, run.name, str(run), folder=folder / "jobs"))
        records[-1].write()
    return records


def test_jobs_that_never_began_take_one_line_below_the_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped_sweep(tmp_path)
    assert set(show_sweep(RunningSweep(tmp_path))) == {0}
    out = capsys.readouterr().out
    assert f"without a run: {JOBS - 2} jobs: {JOBS - 2} to do\n" in out
    assert "not a run" not in out
    assert "no such folder" not in (tmp_path / "comparison.json").read_text()


def test_a_comparison_of_losses_counts_the_jobs_that_never_began(tmp_path: Path) -> None:
    records = stopped_sweep(tmp_path)
    vicreg = ArmTuning("vicreg", "aux.vicreg.weight", 1.0, [Candidate(1.0, [])])
    write_tuning(tmp_path, Tuning("s", METRIC.replace("test/", "val/"), [1000], [vicreg]))
    text = aux_comparison(records, tmp_path, tmp_path / "results")
    lines = [line for line in text.splitlines() if line.startswith("not a run")]
    assert lines == [f"not a run: {JOBS - 2} jobs (not begun)"]
