"""The command line as a user meets it; every case runs in this process, through cli.main."""

import subprocess
import sys

import pytest

from jepa_lab import cli
from jepa_lab.help import conf_dir, first_comment, help_text, options_of


def run(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    before = sys.argv
    try:
        cli.main(argv)
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        sys.argv = before
    out, err = capsys.readouterr()
    return code, out, err


def test_help_names_every_experiment_and_option_with_its_line() -> None:
    text = help_text()
    for folder in [p for p in conf_dir().iterdir() if p.is_dir()]:
        for name in options_of(folder):
            line = first_comment(folder / f"{name}.yaml")
            assert line, f"{folder.name}/{name}.yaml has no first comment"
            assert f"{name:<20} {line}" in text


@pytest.mark.parametrize("argv", [["--help"], ["+experiment=teacherless_b", "--cfg", "job"]])
def test_help_and_cfg_import_neither_torch_nor_lightning(argv: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['jepa_lab', *{argv!r}]\n"
        "import runpy; runpy.run_module('jepa_lab', run_name='__main__')\n"
        "heavy = {'torch', 'pytorch_lightning', 'matplotlib', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "teacherless_b" in done.stdout
