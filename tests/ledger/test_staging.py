"""Files of a command that are written at its end, and folders that cannot be written."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from jepa_lab import decode, evaluate, heatmaps
from jepa_lab.errors import UserError
from jepa_lab.ledger.staging import require_writable, staged


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_staged_files_replace_those_of_the_folder_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("old")
    with staged(tmp_path) as stage:
        (stage / "figures").mkdir()
        (stage / "a.json").write_text("new")
        (stage / "figures" / "b.png").write_text("drawn")
        assert contents(tmp_path) == {"a.json": "old"}
    assert contents(tmp_path) == {"a.json": "new", "figures/b.png": "drawn"}
    assert not stage.exists()


def test_an_interruption_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    def interrupted() -> None:
        with staged(tmp_path / "out") as stage:
            (stage / "a.json").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_a_writable_folder_stays_as_it_was(tmp_path: Path) -> None:
    require_writable(tmp_path)
    require_writable(tmp_path / "new" / "folder")
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_a_folder_or_its_parent_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--out .*file: a file is there, a folder is needed"):
        require_writable(tmp_path / "file", "--out ")
    with pytest.raises(UserError, match="is a file, a folder is needed"):
        require_writable(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("main", "heavy"),
    [
        (evaluate.main, "jepa_lab.studies.seq_jepa.evaluation.command"),
        (decode.main, "jepa_lab.studies.seq_jepa.evaluation.command"),
        (heatmaps.main, "jepa_lab.studies.linear_byol.figures.command"),
    ],
    ids=["evaluate", "decode", "heatmaps"],
)
@pytest.mark.parametrize("place", ["", "figures"])
def test_a_read_only_folder_is_reported_before_anything_is_loaded(
    main: object,
    heavy: str,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "figures").mkdir()
    touch = Path.touch

    def refuse(path: Path, **options: bool) -> None:
        if path.parent == tmp_path / place:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        touch(path, **options)

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setitem(sys.modules, heavy, None)  # its import fails
    out = ["--out", str(tmp_path / place)] if main is heatmaps.main else []
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), *out])  # type: ignore[operator]
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / place}: cannot be written (Read-only file system)" in line
