"""jepa-lab VERB runs every other command, and --version prints the version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import jepa_lab
from jepa_lab.__main__ import main
from jepa_lab.cli.verbs import VERBS

PACKAGE = Path(jepa_lab.__file__).parent


def test_every_command_of_the_package_is_a_verb() -> None:
    files = {path.stem for path in PACKAGE.glob("*.py")}
    files -= {"__init__", "__main__", "errors", "devices"}
    folders = {path.parent.name for path in PACKAGE.glob("*/__main__.py")}
    assert files | folders == set(VERBS)


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"check", "preview"}))
def test_a_verb_is_the_command_of_its_module(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert not end.value.code
    assert capsys.readouterr().out.startswith(f"usage: python -m jepa_lab.{verb} ")


def test_verbs_receive_the_arguments_that_follow_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["diagnose", str(tmp_path / "nothing")])
    assert end.value.code == 2
    assert "no such file or folder" in capsys.readouterr().err
    main(["check", "+experiment=linear_byol", f"runs_dir={tmp_path}"])
    assert "1 job" in capsys.readouterr().out


def test_a_mistyped_verb_gets_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["diagnos", "runs"])
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "jepa_lab: diagnos: not a verb and not an override key=value; did you mean 'diagnose'?\n"
    )


def test_the_version_is_printed_without_importing_hydra() -> None:
    code = (
        "import sys; from jepa_lab.__main__ import main; main(['--version']); assert 'hydra' not in"
        " sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"jepa-lab {jepa_lab.__version__}\n"


def test_the_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)
