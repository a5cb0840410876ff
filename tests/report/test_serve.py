"""The live page of runs: states, progress and verdicts from the files, and nothing else."""

from __future__ import annotations

import json
import os
import platform
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from comparison_runs import make_run
from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import ParquetLedger
from jepa_lab.ledger.sweep_folder import Record
from jepa_lab.report.__main__ import main as report
from jepa_lab.report.live import live
from jepa_lab.report.serve import server

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def running(root: Path, minutes: int, epoch: int, epochs: int) -> Path:
    """Makes a run that has been running for some minutes."""
    run = make_run(root, "arm", 0, settings={"dataset.epochs": epochs})
    started = (NOW - timedelta(minutes=minutes)).isoformat()
    status = {"state": "running", "run_id": run.name, "started": started}
    status |= {"pid": os.getpid(), "host": platform.node()}
    (run / "status.json").write_text(json.dumps(status))
    (run / "summary.json").unlink()
    (run / "metrics.parquet").unlink(missing_ok=True)
    ledger = ParquetLedger(run / "metrics.parquet")
    for at in range(1, epoch + 1):
        ledger.append(10 * at, at, {"val/z/effective_rank": 1.0, "val/loss/prediction": 1.0})
    ledger.fold()
    return run


def test_the_progress_and_the_time_left_of_a_running_run(tmp_path: Path) -> None:
    running(tmp_path, minutes=10, epoch=5, epochs=20)
    found = live([tmp_path], NOW)
    (run,) = found.runs
    assert (run.state, run.progress) == ("running", 0.25)
    assert run.left_s == pytest.approx(30 * 60)
    assert found.left_s == pytest.approx(30 * 60)
    assert run.verdict.startswith("so far ")


def test_jobs_that_wait_take_as_long_as_the_completed_ones(tmp_path: Path) -> None:
    done = make_run(tmp_path, "a", 0, verdict="complete_collapse")
    summary = json.loads((done / "summary.json").read_text())
    (done / "summary.json").write_text(json.dumps({**summary, "wall_s": 100.0}))
    for job, state in ((1, "to do"), (2, "to do"), (3, "failed")):
        record = Record(job, [f"seed={job}"], state, f"id{job}", reason="no data")
        record.folder = tmp_path / "sweeps" / "s" / "jobs"
        record.write()
    found = live([tmp_path], NOW)
    assert found.counts == {"completed": 1, "to do": 2, "failed": 1}
    assert found.left_s == 200.0
    assert found.runs[0].verdict.startswith("complete_collapse")
    assert [run.name for run in found.runs[1:]] == ["seed=1", "seed=2", "seed=3"]


def test_a_folder_without_a_run_is_empty(tmp_path: Path) -> None:
    assert live([tmp_path]).to_dict()["runs"] == []


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    make_run(tmp_path, "<script>alert(1)", 0)
    with server([tmp_path], 0) as started:
        thread = threading.Thread(target=started.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{started.server_address[1]}"
        started.shutdown()
        thread.join()


def test_the_page_and_its_data_are_served_and_no_file(address: str) -> None:
    page = urlopen(address + "/").read().decode()
    assert "runs.json" in page
    assert "alert(1)" not in page
    content = json.loads(urlopen(address + "/runs.json").read())
    assert content["counts"] == {"completed": 1}
    assert content["runs"][0]["name"].startswith("<script>alert(1)/")
    for path in ("/summary.json", "/../etc/passwd", "/%2e%2e/"):
        with pytest.raises(HTTPError, match="404"):
            urlopen(address + path)


def test_a_request_by_another_name_is_refused(address: str) -> None:
    with pytest.raises(HTTPError, match="403"):
        urlopen(Request(address + "/runs.json", headers={"Host": "evil.example:80"}))


def test_a_port_that_is_taken_and_a_folder_that_is_missing_are_user_errors(
    address: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="--port"):
        server([tmp_path], int(address.rpartition(":")[2]))
    with pytest.raises(UserError, match="no such folder"):
        server([tmp_path / "none"], 0)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--port", "8000"], "--port belongs to --serve"),
        (["--serve", "--metric", "val/x"], "--metric is for a comparison of runs"),
    ],
)
def test_options_without_effect_are_refused(
    args: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        report([str(tmp_path), *args])
    assert end.value.code == 2
    assert line in capsys.readouterr().err
