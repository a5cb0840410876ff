import json
import os
import subprocess
import sys
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import pytest

from jepa_lab import RESULTS_VERSION, __version__
from jepa_lab.errors import UserError
from jepa_lab.ledger import run_dir
from jepa_lab.ledger.run_dir import STATES, RunDir


def test_the_folder_is_runs_dir_experiment_run_id(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "runs", "teacherless_b", "0123456789")
    assert run.path == tmp_path / "runs" / "teacherless_b" / "0123456789"
    assert not (tmp_path / "runs").exists()
    run.create("seed: 0\n")
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints",
        "config.yaml",
        "figures",
    ]
    assert run.config_path.read_text() == "seed: 0\n"
    assert run.metrics_path.parent == run.summary_path.parent == run.path


def test_create_keeps_existing_files_and_removes_half_written_ones(tmp_path: Path) -> None:
    run = RunDir(tmp_path, "e", "id").create("a: 1\n")
    (run.checkpoints / "last.ckpt").write_text("weights")
    (run.path / ".metrics.parquet.1-abc.tmp").write_text("half")
    (run.path / ".notes.tmp").write_text("of someone else")
    run.create("a: 1\n")
    assert (run.checkpoints / "last.ckpt").read_text() == "weights"
    assert [path.name for path in run.path.glob(".*.tmp")] == [".notes.tmp"]


@pytest.mark.parametrize("state", STATES)
def test_status_json_has_all_promised_fields(tmp_path: Path, state: str) -> None:
    run = RunDir(tmp_path, "e", "id").create("")
    run.write_status(state, reason="because")
    status = json.loads(run.status_path.read_text())
    assert status == run.status()
    assert (status["state"], status["run_id"], status["experiment"], status["reason"]) == (
        state,
        "id",
        "e",
        "because",
    )
    assert status["pid"] == os.getpid()
    assert status["host"]
    assert set(status["versions"]) == {
        "jepa_lab",
        "torch",
        "pytorch_lightning",
        "python",
        "results_version",
        "commit",
    }
    assert status["versions"]["jepa_lab"] == __version__
    assert status["versions"]["results_version"] == RESULTS_VERSION
    assert status["versions"]["torch"] is not None
    assert datetime.fromisoformat(status["started"]).tzinfo == UTC
    assert (status["finished"] is None) == (state == "running")


def test_started_survives_a_resume(tmp_path: Path) -> None:
    run = RunDir(tmp_path, "e", "id").create("")
    run.status_path.write_text('{"state": "stopped", "started": "2020-01-01T00:00:00+00:00"}')
    run.write_status("running")
    assert (run.status() or {})["started"] == "2020-01-01T00:00:00+00:00"


def test_a_run_never_finishes_before_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SetBack(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime(2020, 1, 1, tzinfo=tz)

    run = RunDir(tmp_path, "e", "id").create("")
    run.write_status("running")
    monkeypatch.setattr(run_dir, "datetime", SetBack)
    run.write_status("completed")
    status = run.status() or {}
    assert status["finished"] == status["started"] > "2020-01-02"


@pytest.mark.parametrize("content", [None, "", "{", "[1]"])
def test_an_unreadable_status_is_none(tmp_path: Path, content: str | None) -> None:
    run = RunDir(tmp_path, "e", "id").create("")
    if content is not None:
        run.status_path.write_text(content)
    assert run.status() is None
    run.write_status("running")
    assert (run.status() or {})["state"] == "running"


def test_an_unknown_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finished"):
        RunDir(tmp_path, "e", "id").create("").write_status("finished")


@pytest.mark.parametrize("blocked", ["runs", "runs/e", "runs/e/id", "runs/e/id/figures"])
def test_a_file_in_place_of_a_folder_is_a_user_error_of_one_line(
    tmp_path: Path, blocked: str
) -> None:
    (tmp_path / blocked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocked).write_text("a file")
    with pytest.raises(UserError, match="runs_dir=") as caught:
        RunDir(tmp_path / "runs", "e", "id").create("")
    assert "\n" not in str(caught.value)
    assert blocked in str(caught.value)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_without_permission_is_a_user_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission"):
        RunDir(tmp_path / "runs", "e", "id").create("")


def test_reading_a_ledger_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys, jepa_lab.ledger; assert not {'torch', 'pytorch_lightning', 'matplotlib'} &"
        " set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
