"""Links and names in a run's folder never lead a writer to another folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from comparison_runs import make_run
from jepa_lab import decode, evaluate
from jepa_lab.errors import UserError
from jepa_lab.ledger import run_dir
from jepa_lab.ledger.run_dir import WRITTEN_IN_PLACE, RunDir
from jepa_lab.report.comparison.report import write_report
from jepa_lab.training.investigation import require_writable

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("name", WRITTEN_IN_PLACE)
def test_a_run_is_not_continued_through_a_link_that_leads_out(name: str, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "runs", "a", "id")
    run.path.mkdir(parents=True)
    (run.path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"{run.path / name}: a link that leads out of the run"):
        run.make()
    assert not (tmp_path / "elsewhere").exists()


def test_links_inside_a_run_and_to_the_whole_run_are_followed(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "runs", "a", "id")
    (tmp_path / "disk" / "kept").mkdir(parents=True)
    run.path.parent.mkdir(parents=True)
    run.path.symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "figures").symlink_to("kept")
    assert run.make().checkpoints.is_dir()


def test_links_in_a_circle_are_a_user_error(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "runs", "a", "id")
    run.path.mkdir(parents=True)
    (run.path / "figures").symlink_to("figures")
    with pytest.raises(UserError, match="figures: a link"):
        run.make()


@pytest.mark.parametrize("main", [evaluate.main, decode.main])
def test_figures_of_a_run_are_not_drawn_elsewhere(
    main: Callable[..., None], tmp_path: Path, command: Command
) -> None:
    run = make_run(tmp_path / "runs", "a", 0)
    (run / "figures").symlink_to(tmp_path)
    code, _, err = command(str(run), main=main)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{run / 'figures'}: a link that leads out of the run's folder" in err


def test_the_test_of_an_output_folder_empties_no_file(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("kept")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".investigation.tmp").symlink_to(kept)
    require_writable(out)
    assert kept.read_text() == "kept"


def test_a_report_copies_no_file_from_elsewhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    linked, own = (make_run(tmp_path / "runs", arm, 0) for arm in ("a", "b"))
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        (linked / name).unlink(missing_ok=True)
        (linked / name).symlink_to(secret)
    written = write_report(tmp_path / "runs", tmp_path / "out")
    copies = {path.parent.parent.name for path in (tmp_path / "out").rglob("*.ckpt")}
    assert copies == {own.parent.name}
    assert f"{linked.parent.name}, seed 0: completed, but has no best.ckpt" in written.text


@pytest.mark.skipif(os.name == "nt", reason="links of other kinds are followed there")
def test_a_folder_without_links_is_made_without_following_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_dir, "is_inside", lambda folder, path: pytest.fail(f"{path} followed"))
    assert RunDir(tmp_path, "a", "id").make().make().figures.is_dir()
