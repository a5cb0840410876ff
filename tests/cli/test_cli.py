"""The command line without heavy imports: its help, and mistakes that are reported without
importing torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from jepa_lab.cli.help import help_text
from jepa_lab.config.groups import conf_dir, first_comment, folder_of, groups_of, options_of


def test_help_lists_every_experiment_and_option_with_its_first_comment() -> None:
    text = help_text()
    for folder in [folder_of(conf_dir(), group) for group in groups_of(conf_dir())]:
        for name in options_of(folder):
            line = first_comment(folder / f"{name}.yaml")
            assert line, f"{folder.name}/{name}.yaml has no first comment"
            assert f"{name:<20} {line}" in text


@pytest.mark.parametrize("argv", [["--help"], ["+experiment=teacherless_b", "--cfg", "job"]])
def test_help_and_cfg_import_neither_torch_nor_lightning(argv: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['jepa_lab', *{argv!r}]\nimport runpy;"
        " runpy.run_module('jepa_lab', run_name='__main__')\nheavy = {'torch',"
        " 'pytorch_lightning', 'matplotlib', 'numpy', 'pyarrow'} & set(sys.modules)\nassert not"
        " heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "teacherless_b" in done.stdout


@pytest.mark.parametrize(
    "args",
    [
        ["loss.lambda_rate=-1"],
        ["-m", "loss.lambda_rate=0.1,-1"],
        ["model.ema=true", "target=stopgrad"],
    ],
)
def test_a_wrong_value_is_reported_before_torch_is_imported(
    args: list[str], tmp_path: Path
) -> None:
    code = (
        f"import sys; sys.argv = ['jepa_lab', '+experiment=teacherless_b', *{args!r}]\n"
        "import runpy\n"
        "try:\n    runpy.run_module('jepa_lab', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 2, end.code\n"
        "else:\n    raise AssertionError('was not refused')\n"
        "heavy = {'torch', 'pytorch_lightning', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
