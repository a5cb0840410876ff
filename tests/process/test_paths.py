"""Paths that no file can have, and names with line ends: one line each."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from jepa_lab.__main__ import main
from jepa_lab.errors import in_one_line
from jepa_lab.process.paths import impossible_path, shortened


def line_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    (line,) = [text for text in capsys.readouterr().err.split("\n") if text]
    return line


@pytest.mark.parametrize("length", [300, 5000])
@pytest.mark.parametrize("verb", ["diagnose", "evaluate", "decode", "report", "claims", "bench"])
def test_a_name_that_is_too_long_is_one_line(
    verb: str, length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    line = line_of([verb, "a" * length], capsys)
    assert line.startswith("jepa_lab: aaa")
    assert line.endswith(
        f"({length:,} characters): the path, or a name in it, is longer than the system allows"
    )


def test_a_folder_of_runs_whose_name_is_too_long_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = "a" * 300
    argv = ["+experiment=linear_byol", "epochs=1", "figures=false", f"runs_dir={folder}"]
    assert "is longer than the system allows" in line_of(argv, capsys)
    assert not list(tmp_path.iterdir())


def test_links_in_a_circle_and_files_in_a_path_are_told_from_other_errors(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    (tmp_path / "file").touch()
    for path, why in ((circle, "its links lead in a circle"), (tmp_path / "file" / "x", "a file")):
        with pytest.raises(OSError) as raised:
            path.read_bytes()
        assert why in impossible_path(raised.value)
    with pytest.raises((RuntimeError, OSError)) as looped:
        circle.resolve(strict=True)
    assert impossible_path(looped.value) == f"{circle}: its links lead in a circle"
    assert impossible_path(FileNotFoundError(errno.ENOENT, "no", "x")) == ""
    assert impossible_path(ValueError("x")) == ""
    assert impossible_path(OSError(errno.ENOTDIR, "a call without a file")) == ""


def test_a_path_of_usual_length_is_shown_in_full() -> None:
    assert shortened("runs/" + "a" * 90) == "runs/" + "a" * 90


@pytest.mark.parametrize("verb", ["claims", "decode", "heatmaps"])
def test_a_name_with_a_line_end_is_one_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a\\nb" in line_of([verb, "a\nb"], capsys)


def test_only_characters_that_cannot_be_printed_are_escaped() -> None:
    assert in_one_line("a\nb\r\x1b[31m\u2028\x85") == "a\\nb\\r\\x1b[31m\\u2028\\x85"
    assert in_one_line("größer 数 \\n ' \"") == "größer 数 \\n ' \""
