"""A command that is started in a folder that no longer exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepa_lab.__main__ import main
from jepa_lab.cli.verbs import VERBS

COMMANDS = [["+experiment=linear_byol"], *([verb, "x"] for verb in VERBS)]


@pytest.fixture
def gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()


@pytest.mark.parametrize("command", COMMANDS, ids=[command[0] for command in COMMANDS])
def test_a_deleted_working_directory_is_named_in_one_line(
    command: list[str], gone: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jepa_lab: the working directory no longer exists")


def test_the_version_needs_no_working_directory(
    gone: None, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--version"])
    assert capsys.readouterr().out.startswith("jepa-lab ")
