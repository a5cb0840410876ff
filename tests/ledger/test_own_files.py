"""A restart removes the files that a run writes, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepa_lab.errors import UserError
from jepa_lab.ledger.run_dir import RunDir

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
