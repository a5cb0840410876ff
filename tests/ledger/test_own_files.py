"""A restart removes the files that a run writes, and no others. A run starts only if each of its
names is free for a file of the right kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import compose_checked
from jepa_lab.errors import UserError
from jepa_lab.ledger.own_files import require_kinds
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.ledger.staging import require_writable_run
from jepa_lab.studies import find
from jepa_lab.studies.run import train

OWN = (
    "config.yaml",
    "status.json",
    "metrics.parquet",
    ".metrics/000001.parquet",
    ".summary.json.1-abc.tmp",
    "run.log",
    "investigation.md",
    "checkpoints/last.ckpt",
    "checkpoints/.next.ckpt.1-abc.tmp",
    "figures/loss.png",
    "figures/ratio/best_cells.csv",
    "wandb/offline-run-1/files/requirements.txt",
    "csv/metrics.csv",
)


def run_with(folder: Path, *others: str) -> RunDir:
    run = RunDir(folder, "e", "id")
    for name in (*OWN, ".lock", *others):
        path = run.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return run


def names(run: RunDir) -> set[str]:
    return {str(p.relative_to(run.path)) for p in run.path.rglob("*") if not p.is_dir()}


def test_a_restart_removes_all_files_of_a_run_but_its_lock(tmp_path: Path) -> None:
    run = run_with(tmp_path)
    run.clear()
    assert [p.name for p in run.path.iterdir()] == [".lock"]
    run.clear()


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "config.yaml.bak",
        "figures/paper.pdf",
        "checkpoints/notes.md",
        "mine/last.ckpt",
        ".notes.tmp",
    ],
)
def test_a_file_that_no_run_writes_stops_the_restart(name: str, tmp_path: Path) -> None:
    run = run_with(tmp_path, name)
    before = names(run)
    with pytest.raises(UserError, match=f"there is also {name}; move that") as caught:
        run.clear()
    assert "\n" not in str(caught.value)
    assert names(run) == before


def test_at_most_three_files_are_named(tmp_path: Path) -> None:
    run = run_with(tmp_path, *(f"{i}.txt" for i in range(5)))
    with pytest.raises(UserError, match=r"also 0.txt, 1.txt, 2.txt and 2 more; move"):
        run.clear()


def test_a_link_is_removed_without_what_it_leads_to(tmp_path: Path) -> None:
    run, elsewhere = run_with(tmp_path / "runs"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.png").write_text("mine")
    (run.figures / "link").symlink_to(elsewhere)
    with pytest.raises(UserError, match="there is also figures/link"):
        run.clear()
    (run.figures / "link").rename(run.figures / "link.png")
    run.clear()
    assert (elsewhere / "precious.png").read_text() == "mine"


KINDS = [(name, True) for name in ("status.json", "metrics.parquet", "summary.json", ".lock")]
KINDS += [(name, True) for name in ("config.yaml", "run.log", "checkpoints/last.ckpt")]
KINDS += [(name, False) for name in ("figures", "checkpoints", ".metrics")]


@pytest.mark.parametrize(("name", "is_folder"), KINDS)
@pytest.mark.parametrize("experiment", ["teacherless_b", "linear_byol"])
def test_a_run_with_another_kind_of_file_at_an_own_name_is_refused_before_it_starts(
    name: str, is_folder: bool, experiment: str, tmp_path: Path
) -> None:
    args = [f"+experiment={experiment}", "seed=3", f"runs_dir={tmp_path / 'runs'}"]
    config = compose_checked([*args, *(["tier=smoke"] if experiment == "teacherless_b" else [])])
    planner = find(config.study).planner
    plan = planner.plan(config, planner.fingerprint(planner.load(config)))
    path = plan.home.path / name
    path.parent.mkdir(parents=True)
    path.mkdir() if is_folder else path.write_text("mine")
    before = names(plan.home)
    with pytest.raises(UserError, match="move it away") as caught:
        train(config)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert names(plan.home) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_at_the_name_of_a_file_does_not_block_a_run(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "status.json")
    with pytest.raises(UserError, match=r"status.json: no regular file is there"):
        require_kinds(tmp_path)


def test_results_of_other_commands_have_their_kind_checked_too(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").mkdir()
    with pytest.raises(UserError, match=r"evaluation.json: a folder is there"):
        require_writable_run(tmp_path)


def test_the_files_of_a_run_have_the_right_kinds(tmp_path: Path) -> None:
    require_kinds(tmp_path / "missing")
    require_kinds(run_with(tmp_path).path)
