"""The command line as a user meets it; every case runs in this process, through cli.main."""

import subprocess
import sys
from pathlib import Path

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


BAD = [
    (["+experiment=teacherles_b"], "experiment=teacherles_b: no such option; did you mean 'teacherless_b'?"),
    (["experiment=teacherles_b"], "experiment=teacherles_b: no such option; did you mean 'teacherless_b'?"),
    (["+experiment=teacherless_b", "target=emaa"], "target=emaa: no such option; did you mean 'ema'?"),
    (["+experiment=teacherless_b", "loss.lamda_rate=1"], "did you mean 'lambda_rate'?"),
    (["+experiment=teacherless_b", "+loss.lamda_rate=1"], "did you mean 'lambda_rate'?"),
    (["+experiment=teacherless_b", "tarjet=ema"], "did you mean 'target'?"),
    (["+experiment=teacherless_b", "loss.lambda_rate=-1"], "loss.lambda_rate=-1"),
    (["+experiment=teacherless_b", "loss.lambda_rate=abc"], "loss.lambda_rate"),
    (["+experiment=teacherless_b", "loss.alpha=0"], "loss.alpha=0"),
    (["+experiment=teacherless_b", "loss.rate_target=w"], "loss.rate_target=w: expected one of z_agg, z, both"),
    (["+experiment=teacherless_b", "dataset.n_views=1"], "dataset.n_views=1: must be at least 2"),
    (["+experiment=teacherless_b", "dataset.batch_size=0"], "dataset.batch_size=0"),
    (
        ["+experiment=teacherless_b", "dataset.batch_size=5000"],
        "dataset.batch_size=5000: larger than the 1097 training",
    ),
    (["+experiment=teacherless_b", "dataset.epochs=1.5"], "dataset.epochs"),
    (["+experiment=teacherless_b", "dataset.seq_len=2", "dataset.n_views=5"], "contradict"),
    (["+experiment=teacherless_b", "dataset=npz"], "dataset.path is missing"),
    (["+experiment=teacherless_b", "dataset=folder"], "dataset.root is missing"),
    (["+experiment=teacherless_b", "dataset=npz", "dataset.path=/nowhere.npz"], "/nowhere.npz"),
    (["+experiment=teacherless_b", "monitor.every_epochs=7"], "monitor.every_epochs=7"),
    (["+experiment=teacherless_b", "model.heads=7"], "model.heads=7"),
    (["+experiment=teacherless_b", "seed=0,1"], "seed"),
    (["+experiment=teacherless_b", "x=[1"], "x=[1"),
    (["+experiment=teacherless_b", "~encoder"], "encoder: the group is missing"),
    (["+experiment=teacherless_b", "loss=none"], "loss=none"),
    (["-m", "+experiment=glob(nothing_*)"], "the sweep has no job"),
    (["+experiment=teacherless_b", "tier=paper"], "tier=paper: dataset=digits_rot has baseline, quick, smoke"),
    (["+experiment=teacherless_b", "dataset.translation=[1,2]"], "dataset.translation"),
    (["+experiment=teacherless_b", "dataset=digits_affine", "dataset.mode=spin"], "dataset.mode=spin: must be one of"),
    (["+experiment=teacherless_b", "dataset.action_code=angle"], "dataset.action_code=angle: must be one of"),
    (["+experiment=teacherless_b", "hardware=gpu"], "hardware.accelerator=gpu: no accelerator"),
    ([], "no experiment was named"),
]


@pytest.mark.parametrize(("argv", "line"), BAD, ids=[" ".join(argv) or "nothing" for argv, _ in BAD])
def test_a_mistake_gets_one_line_and_code_2_and_leaves_nothing_behind(
    argv: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(argv, capsys)
    assert code == 2, err
    assert line in err
    assert err.startswith("jepa_lab: ")
    assert len(err.strip().splitlines()) == 1
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "multirun.yaml"]


def test_a_runs_dir_that_is_a_file_gets_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine")
    code, _, err = run(["+experiment=teacherless_b", "tier=smoke", f"runs_dir={tmp_path / 'runs'}"], capsys)
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert "runs_dir" in err
    assert (tmp_path / "runs").read_text() == "mine"


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
