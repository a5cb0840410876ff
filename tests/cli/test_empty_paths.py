"""An empty path, as of a shell variable that is not set, is refused and not taken as the working
directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jepa_lab import check, diagnose, heatmaps, preview
from jepa_lab.claims import __main__ as claims
from jepa_lab.report import __main__ as report

Command = Callable[..., tuple[int, str, str]]
B = "+experiment=teacherless_b"


@pytest.mark.parametrize("args", [["--config-dir", ""], ["--config-dir="], ["--config-dir", " "]])
def test_an_empty_config_dir_is_refused(command: Command, tmp_path: Path, args: list[str]) -> None:
    for options in ({}, {"main": check.main}, {"main": preview.main}):
        code, out, err = command(B, *args, **options)
        assert (code, out, err) == (2, "", "jepa_lab: --config-dir: the path is empty\n")
    assert not list(tmp_path.iterdir())


def test_an_empty_file_for_a_preview_is_refused(command: Command, tmp_path: Path) -> None:
    for args in (["--out", ""], ["--out="]):
        code, out, err = command(B, *args, main=preview.main)
        assert (code, out, err) == (2, "", "jepa_lab: --out: the path is empty\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("main", "args", "name"),
    [
        (report.main, ["runs", "--out", ""], "--out"),
        (heatmaps.main, [""], "runs_dir"),
        (diagnose.main, ["runs", "--config-dir="], "--config-dir"),
        (claims.main, ["--out", ""], "--out"),
    ],
)
def test_an_empty_path_of_another_command_is_refused(
    command: Command, main: Callable[[list[str]], None], args: list[str], name: str
) -> None:
    code, out, err = command(*args, main=main)
    assert (code, out) == (2, "")
    assert err.startswith(f"jepa_lab: argument {name}")
    assert err.endswith("the path is empty\n")
