"""Sweeps from the command line: all jobs are composed first, failures are recorded, and the same
command resumes the sweep."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jepa_lab import check as check_command
from jepa_lab.ledger.sweep_folder import read_records
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from killed_runs import difference, start_command, state_of

SMALL = [
    "tier=smoke",
    "dataset.epochs=2",
    "dataset.train_size=128",
    "dataset.val_size=64",
    "encoder.widths=[4,8]",
    "hardware.threads=1",
    "model.action_dim=8",
    "model.depth=1",
    "model.hidden=16",
    "probes.hidden=16",
]
B = ["+experiment=teacherless_b", *SMALL]
Command = Callable[..., tuple[int, str, str]]


def statuses(folder: Path) -> dict[str, dict[str, Any]]:
    return {p.parent.name: json.loads(p.read_text()) for p in folder.glob("runs/*/*/status.json")}


def records(folder: Path) -> list[Any]:
    (sweep,) = folder.glob("runs/sweeps/*")
    return read_records(sweep)


def fail_for_seed(monkeypatch: pytest.MonkeyPatch, seed: int, error: BaseException) -> None:
    step = SeqJEPA.training_step

    def failing(self: SeqJEPA, *args: Any) -> Any:
        if self.seed == seed and self.global_step == 1:
            raise error
        return step(self, *args)

    monkeypatch.setattr(SeqJEPA, "training_step", failing)


def test_a_sweep_runs_every_combination_and_later_only_the_missing_ones(
    command: Command, tmp_path: Path
) -> None:
    line = [*B, "-m", "loss.lambda_rate=1e-3,1e-2", "seed=0,1"]
    code, out, _ = command(*line)
    states = statuses(tmp_path)
    assert code == 0
    assert len(states) == 4
    assert {s["state"] for s in states.values()} == {"completed"}
    assert "4 jobs: 4 to do" in out
    assert "4 jobs: 4 done" in out
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("runs/teacherless_b/*/*")}
    code, out, _ = command(*line)
    assert code == 0
    assert out.count("finished before") == 4
    assert "4 jobs: 4 skipped" in out
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("runs/teacherless_b/*/*")} == before
    assert len(list(tmp_path.glob("runs/sweeps/*"))) == 1


def test_a_sweep_ends_with_a_comparison_of_differing_keys_and_verdicts(
    command: Command, tmp_path: Path
) -> None:
    _, out, _ = command(*B, "-m", "loss.lambda_rate=1e-3,1e-2")
    (path,) = tmp_path.glob("runs/sweeps/*/comparison.csv")
    rows = list(csv.DictReader(path.open()))
    assert [float(r["loss.lambda_rate"]) for r in rows] == [0.001, 0.01]
    assert all(float(r["test/probe/class_from_z_agg"]) >= 0 for r in rows)
    assert all(r["verdict"] for r in rows)
    assert str(path.relative_to(tmp_path)) in out
    assert json.loads(path.with_suffix(".json").read_text())


def test_a_failed_job_is_recorded_and_the_same_command_repeats_only_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [*B, "-m", "seed=range(0,8)", "dataset.epochs=1"]
    line.remove("dataset.epochs=2")
    with monkeypatch.context() as patch:
        fail_for_seed(patch, 3, RuntimeError("no luck"))
        code, out, err = command(*line)
    assert code == 1
    assert "7 done, 1 failed" in out
    assert "RuntimeError: no luck" in out
    assert "Traceback" in err or "Traceback" in out
    states = sorted(s["state"] for s in statuses(tmp_path).values())
    assert states == ["completed"] * 7 + ["failed"]
    (failed,) = (s for s in statuses(tmp_path).values() if s["state"] == "failed")
    assert failed["reason"] == "RuntimeError: no luck"
    assert [r.state for r in records(tmp_path)] == ["done"] * 3 + ["failed"] + ["done"] * 4
    code, out, _ = command(*line)
    assert code == 0
    assert "7 done, 1 to do" in out
    assert "7 skipped" in out
    assert {s["state"] for s in statuses(tmp_path).values()} == {"completed"}


def test_a_loss_that_is_not_finite_fails_its_job_with_the_term_and_the_step(
    command: Command, tmp_path: Path
) -> None:
    code, out, _ = command(*B, "-m", "optim.lr=1e-3,1e30", "optim.clip=null", "optim.warmup=0")
    assert code == 1
    assert "1 done, 1 failed" in out
    (failed,) = (s for s in statuses(tmp_path).values() if s["state"] == "failed")
    assert failed["first_bad"]["term"].startswith("train/")
    assert failed["first_bad"]["step"] >= 1


def test_fail_fast_stops_at_the_first_failure(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_for_seed(monkeypatch, 1, RuntimeError("no luck"))
    code, out, _ = command(*B, "-m", "seed=0,1,2,3", "sweep.fail_fast=true")
    assert code == 1
    assert [r.state for r in records(tmp_path)] == ["done", "failed", "to do", "to do"]
    assert "1 done, 1 failed, 2 to do" in out


def test_bad_data_of_one_job_does_not_stop_the_others(command: Command, tmp_path: Path) -> None:
    code, _, err = command(*B, "-m", "dataset.batch_size=5000,64")
    assert code == 2
    assert "dataset.batch_size=5000: larger than" in err
    assert [r.state for r in records(tmp_path)] == ["failed", "done"]
    assert len(list(tmp_path.glob("runs/teacherless_b/*/summary.json"))) == 1


@pytest.mark.parametrize(
    "bad",
    [
        "loss.lambda_rate=0.01,-1",
        "loss.lambda_rate=0.01,x",
        "target=ema,emaa",
        "dataset.n_views=4,1",
        "+loss.lamda_rate=1,2",
    ],
)
def test_a_wrong_value_in_any_job_refuses_the_sweep_before_the_first_starts(
    bad: str, command: Command, tmp_path: Path
) -> None:
    code, _, err = command(*B, "-m", bad)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert not statuses(tmp_path)


def test_a_refused_sweep_keeps_the_records_of_its_earlier_start(
    command: Command, tmp_path: Path
) -> None:
    line = [*B, "-m", "seed=0", "dataset.epochs=1"]
    assert command(*line)[0] == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("sweeps/*/**/*") if p.is_file()}
    assert before
    code, _, err = command(*line, "on_existing=whatever")  # the same sweep, with an invalid value
    assert (code, len(err.splitlines())) == (2, 1), err
    assert {p: p.read_bytes() for p in tmp_path.rglob("sweeps/*/**/*") if p.is_file()} == before


def test_a_time_limit_holds_for_the_whole_sweep_which_is_then_resumed(
    command: Command, tmp_path: Path
) -> None:
    code, out, _ = command(*B, "-m", "seed=0,1", "max_wall_s=1e-9")
    assert code == 0
    assert [r.state for r in records(tmp_path)] == ["stopped", "to do"]
    code, out, _ = command(*B, "-m", "seed=0,1", "max_wall_s=600")
    assert code == 0
    assert "1 to resume" in out
    assert [r.state for r in records(tmp_path)] == ["resumed", "done"]


def test_two_jobs_with_the_same_run_share_it_and_the_table_notes_it(
    command: Command, tmp_path: Path
) -> None:
    _, out, _ = command(*B, "-m", "hardware=cpu,auto", "hardware.threads=1")
    assert "the same run as job 1" in out
    assert [r.state for r in records(tmp_path)] == ["done", "skipped"]
    assert len(statuses(tmp_path)) == 1


def test_an_experiment_that_defines_a_sweep_is_refused_inside_another(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "more" / "experiment").mkdir(parents=True)
    (tmp_path / "more" / "experiment" / "own_sweep.yaml").write_text(
        "# @package _global_\nname: own_sweep\nhydra: {mode: MULTIRUN, sweeper: {params: {seed:"
        " '0,1'}}}\n"
    )
    flags = ["--config-dir", str(tmp_path / "more")]
    code, _, err = command(*flags, *SMALL, "-m", "+experiment=own_sweep,teacherless_b")
    assert code == 2
    assert "experiment=own_sweep: defines a sweep" in err
    code, out, _ = command(*flags, *SMALL, "+experiment=own_sweep")
    assert code == 0
    assert "2 jobs: 2 done" in out


def test_editing_conf_while_a_sweep_runs_changes_nothing_in_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from jepa_lab.config.groups import conf_dir

    shutil.copytree(conf_dir(), tmp_path / "conf")
    step, edited = SeqJEPA.training_step, tmp_path / "conf" / "experiment" / "teacherless_b.yaml"

    def editing(self: SeqJEPA, *args: Any) -> Any:
        edited.write_text("broken: [")
        return step(self, *args)

    monkeypatch.setattr(SeqJEPA, "training_step", editing)
    code, _, _ = command("--config-path", str(tmp_path / "conf"), *B, "-m", "seed=0,1")
    assert code == 0
    assert [r.state for r in records(tmp_path)] == ["done", "done"]


def test_check_lists_every_job_with_its_run_and_state_and_writes_nothing(
    command: Command, tmp_path: Path
) -> None:
    line = [*B, "-m", "seed=0,1,2"]
    code, out, _ = command(*line, main=check_command.main)
    assert code == 0
    assert "3 jobs: 3 to do" in out
    assert "digits_rot: 128 training, 64 validation, 360 test images, 10 classes" in out
    assert not list(tmp_path.iterdir())
    command(*B, "seed=1")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    code, out, _ = command(*line, main=check_command.main)
    assert "3 jobs: 1 done, 2 to do" in out
    for run_id in statuses(tmp_path):
        assert f"done   {run_id}" in out
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["loss.lambda_rate=-1"], "loss.lambda_rate=-1"),
        (["dataset.batch_size=64,5000"], "1 of 2 jobs cannot run: dataset.batch_size=5000: larger"),
        (["model.heads=7"], "model.heads=7"),
        (
            [
                "dataset=npz",
                "dataset.path=none.npz",
                "encoder=resnet_small",
                "model=seq_jepa_small",
            ],
            "none.npz: no such",
        ),
    ],
)
def test_check_reports_mistakes_that_would_fail_before_training(
    overrides: list[str], line: str, command: Command, tmp_path: Path
) -> None:
    code, _, err = command(*B, *overrides, main=check_command.main)
    assert code == 2
    assert line in err
    assert not list(tmp_path.iterdir())


def test_check_lists_a_single_run_and_an_unfinished_one(command: Command) -> None:
    assert "1 job: 1 to do" in command(*B, main=check_command.main)[1]
    command(*B, "max_wall_s=1e-9")
    assert "1 job: 1 to resume" in command(*B, main=check_command.main)[1]


@pytest.mark.slow
def test_a_sweep_of_eight_killed_twice_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    line = ["-m", *B, "seed=0,1", "loss.lambda_rate=1e-3,3e-3,1e-2,3e-2", "keep=all"]
    line.append("monitor.save_every_s=0")

    def completed() -> int:
        return sum(s["state"] == "completed" for s in statuses(tmp_path / "killed").values())

    for at_least in (2, 5):
        process = start_command(tmp_path / "killed", line)
        deadline = time.monotonic() + 120
        while completed() < at_least and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.join()
        assert at_least <= completed() < 8
    for folder in ("killed", "whole"):
        process = start_command(tmp_path / folder, line)
        process.join()
        assert process.exitcode == 0
    whole = {
        p.parent.name: p.parent
        for p in (tmp_path / "whole").glob("runs/teacherless_b/*/status.json")
    }
    killed = {
        p.parent.name: p.parent
        for p in (tmp_path / "killed").glob("runs/teacherless_b/*/status.json")
    }
    assert whole.keys() == killed.keys()
    assert len(whole) == 8
    for run_id, path in whole.items():
        assert difference(state_of(killed[run_id]), state_of(path)) is None
    tables = [
        [{k: v for k, v in row.items() if "run_dir" not in k} for row in csv.DictReader(p.open())]
        for folder in ("killed", "whole")
        for p in (tmp_path / folder).glob("runs/sweeps/*/comparison.csv")
    ]
    assert tables[0] == tables[1]


def test_check_refuses_a_sweeper_that_chooses_its_jobs_while_it_runs(command: Command) -> None:
    code, _, err = command(*B, "-m", "hydra/sweeper=optuna", "seed=1", main=check_command.main)
    assert code == 2
    assert "chooses its jobs while it runs" in err


def test_a_sweep_over_seeds_ends_with_the_paired_difference_to_the_control(
    command: Command, tmp_path: Path
) -> None:
    seeds = [
        "-m",
        "seed=0,1,2",
        "dataset.epochs=1",
        *(w for w in SMALL if not w.startswith("dataset.epochs")),
    ]
    _, out, _ = command("+experiment=teacherless_b", *seeds)
    assert "no runs of the control seq_jepa_baseline" in out
    assert "+experiment=seq_jepa_baseline" in out
    command("+experiment=seq_jepa_baseline", *seeds, "sweep.control=null")
    _, out, _ = command("+experiment=teacherless_b", *seeds)
    assert "seq_jepa_baseline (control)" in out
    assert "p of the two-sided sign-flip test" in out
    (path,) = tmp_path.glob("runs/sweeps/*/paired.json")
    content = json.loads(path.read_text())
    row = next(
        r for r in content["rows"] if not r["is_control"] and "class_from_z_agg" in r["metric"]
    )
    assert row["difference"]["n"] == 3
    _, out, _ = command("+experiment=teacherless_b,teacherless_e,seq_jepa_baseline", *seeds)
    assert out.count("(control)") == 3  # once per metric
    assert "with 3 pairs p is never below 0.25" in out
