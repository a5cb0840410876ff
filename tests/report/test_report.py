"""python -m jepa_lab.report: the files that it writes, and its errors."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from comparison_runs import METRIC, every_state, make_run
from conftest import small_overrides
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.ledger.command_line import ONE_RUN, CommandLine, write_command_line
from jepa_lab.report.__main__ import main
from jepa_lab.report.next_commands import next_commands
from jepa_lab.studies.seq_jepa.config import Config
from page_data import page_data

Command = Callable[..., tuple[int, str, str]]


def test_runs_in_every_state_are_reported(tmp_path: Path, command: Command) -> None:
    every_state(tmp_path / "runs")
    code, out, err = command("runs", main=main)
    assert (code, err) == (0, "")
    results = tmp_path / "comparison_results"
    names = [
        "comparison_summary.txt",
        "experiment_comparison_results.json",
        "report.html",
        "trained_models",
    ]
    assert sorted(path.name for path in results.iterdir()) == names
    assert out.startswith((results / "comparison_summary.txt").read_text())
    rows = json.loads((results / names[1]).read_text(), parse_constant=pytest.fail)
    assert [row["arm"] for row in rows] == [
        "better",
        "seq_jepa_baseline",
        "partial",
        "collapsed",
        "never",
    ]
    assert "damaged-0 (config.yaml is damaged)" in out
    data = page_data(results / "report.html")
    (group,) = data["groups"]
    assert [arm["name"] for arm in group["arms"]] == [row["arm"] for row in rows]
    assert len(group["runs"]) == 24
    links = {run["run"]: run["folder"] for run in group["runs"]}
    assert links["better-0"] == "../runs/better/better-0"
    assert (results / links["better-0"] / "config.yaml").is_file()


def test_a_report_inside_the_folder_of_runs_is_not_taken_for_a_run(
    tmp_path: Path, command: Command
) -> None:
    make_run(tmp_path / "runs", "a", 0)
    for _ in range(2):
        assert command("runs", "--out", "runs/results", main=main)[0] == 0
        assert len(page_data(tmp_path / "runs/results/report.html")["groups"][0]["runs"]) == 1


def test_the_results_of_a_sweep_with_tuned_weights_are_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs", "plain", 0, 0.8)
    main(["runs"])
    assert Path("comparison_results/report.html").is_file()
    Path("comparison_results/tuning.json").write_text("{}")
    before = {path: path.stat().st_mtime_ns for path in Path("comparison_results").rglob("*")}
    main(["runs"])
    assert "comparison_results_report/report.html" in capsys.readouterr().out
    assert {
        path: path.stat().st_mtime_ns for path in Path("comparison_results").rglob("*")
    } == before


def test_group_by_dataset_compares_datasets_separately(tmp_path: Path, command: Command) -> None:
    for name, value in {"digits_rot": 0.9, "cifar10_rot": 0.4}.items():
        for arm in ("seq_jepa_baseline", "b"):
            for seed in range(2):
                run_id = f"{name}-{arm}-{seed}"
                make_run(
                    tmp_path / "runs" / name,
                    arm,
                    seed,
                    value,
                    settings={"dataset.name": name},
                    run_id=run_id,
                )
    code, _, err = command("runs", main=main)
    assert code == 2
    assert (
        "2 datasets: cifar10_rot (4 runs), digits_rot (4 runs); --group-by dataset compares them"
        " separately" in err
    )
    code, out, _ = command("runs", "--group-by", "dataset", main=main)
    assert code == 0
    assert out.index("dataset=cifar10_rot\n====") < out.index("dataset=digits_rot\n====")
    data = page_data(tmp_path / "comparison_results/report.html")
    assert [[len(g["arms"]), g["arms"][0]["mean"]] for g in data["groups"]] == [[2, 0.4], [2, 0.9]]
    assert (
        tmp_path / "comparison_results/trained_models/dataset=digits_rot/b/seed1/best.ckpt"
    ).is_file()


def test_every_group_is_ranked_by_the_default_metric_of_its_study(
    tmp_path: Path, command: Command
) -> None:
    arc = {"dataset.name": "arc_agi1", "study": "arc"}
    for arm, value in (("a", 0.9), ("b", 0.8)):
        make_run(tmp_path / "runs", arm, 0, value)
        path = (
            make_run(tmp_path / "runs" / "arc", arm, 0, value, settings=arc, run_id=f"arc_{arm}")
            / "summary.json"
        )
        path.write_text(
            path.read_text()
            .replace("test/probe/class_from_z_agg", "test/skill")
            .replace("val/probe/", "x/")
        )
    code, out, _ = command("runs", "--group-by", "dataset", main=main)
    assert code == 0
    assert "Ranking by skill on test" in out
    assert "Ranking by class z_agg on test" in out
    groups = page_data(tmp_path / "comparison_results/report.html")["groups"]
    assert [g["metric"]["key"] for g in groups] == ["test/skill", "test/probe/class_from_z_agg"]


def test_a_group_that_cannot_be_compared_is_reported_beside_the_others(
    tmp_path: Path, command: Command
) -> None:
    make_run(tmp_path / "runs", "a", 0, settings={"tier.name": "quick"})
    make_run(tmp_path / "runs", "b", 0, None, state="failed", settings={"tier.name": "smoke"})
    code, out, _ = command("runs", "--group-by", "tier", main=main)
    assert code == 0
    assert "tier=smoke: no comparable seed: no completed run has a finite" in out


def test_metric_and_direction_can_be_set(tmp_path: Path, command: Command) -> None:
    make_run(tmp_path / "runs", "a", 0)
    make_run(tmp_path / "runs", "b", 0, extra={"train/loss/total": 9.0})
    for options, first in (((), "a"), (("--direction", "max"), "b")):
        code, out, _ = command("runs", "--metric", "train/loss/total", *options, main=main)
        assert code == 0
        assert re.search(rf"1\. {first}: ", out)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["gone"], "gone: no such folder"),
        (["empty"], "empty: the folder is empty"),
        (["other"], "other: no run in it"),
        (
            ["runs", "--metric", "test/probe/class_from_zagg"],
            f"no run has measured it; did you mean '{METRIC}'",
        ),
        (["runs", "--control", "nobody"], "--control nobody: no arm matches the control nobody"),
        (
            ["runs", "--metric", "val/z/effective_rank"],
            "neither high nor low is better by itself; add --direction",
        ),
        (["runs", "--arm-key", "loss.x"], "--arm-key loss.x: no run has this setting"),
        (
            ["runs", "--group-by", "datasett"],
            "--group-by datasett: no run has this setting; did you mean 'dataset'",
        ),
        (["runs", "--direction", "up"], "argument --direction: invalid choice: 'up'"),
        (["runs", "--out", "notes.txt"], "--out notes.txt: a file is there"),
        ([], "the following arguments are required: FOLDER"),
        (["failed"], "no comparable seed: no completed run"),
        (["apart"], "no comparable seed: the control seq_jepa_baseline has 0, the other arms 1"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, command: Command, arguments: list[str], line: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    for place in ("notes.txt", "other/notes.txt"):
        (tmp_path / place).write_text("")
    make_run(tmp_path / "runs", "a", 0)
    make_run(tmp_path / "runs", "b", 0)
    make_run(
        tmp_path / "failed", "a", 0, None, state="failed", extra={METRIC: 0.1}, reason="broken"
    )
    make_run(tmp_path / "failed", "b", 0, 0.5, state="stopped")
    make_run(tmp_path / "apart", "seq_jepa_baseline", 0)
    make_run(tmp_path / "apart", "b", 1)
    code, out, err = command(*arguments, main=main)
    assert (code, out) == (2, "")
    assert line in err
    assert err.count("\n") == 1
    assert not (tmp_path / "comparison_results").exists()


def test_help_needs_no_torch() -> None:
    code = (
        "import sys\nfrom jepa_lab.report.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'matplotlib', 'pyarrow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--group-by" in done.stdout


def suggested(folder: Path, overrides: list[str], config: Config) -> list[str]:
    """Returns the next commands of a healthy run with these overrides."""
    write_command_line(folder, CommandLine(tuple(overrides)))
    return next_commands(
        folder, asdict(config), [], "completed", Remedies(), lambda overrides: True
    )


def test_more_seeds_are_suggested_with_all_overrides_of_the_run(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    overrides = small_overrides(tmp_path, "hardware.threads=7", "seed=3")
    first, _ = suggested(tmp_path, overrides, make_config("hardware.threads=7", "seed=3"))
    assert "hardware.threads=7" in shlex.split(first)
    assert "seed=3,4,5" in shlex.split(first)  # seed 3 is this run, which the sweep skips


@pytest.mark.parametrize("state", ["completed", "stopped"])
def test_a_command_line_that_no_longer_composes_is_not_suggested(
    state: str, make_config: Callable[..., Config], tmp_path: Path
) -> None:
    write_command_line(tmp_path, CommandLine(("+experiment=of_yesterday",)))
    lines = next_commands(
        tmp_path, asdict(make_config()), [], state, Remedies(), lambda overrides: False
    )
    assert not [line for line in lines if "of_yesterday" in line]


def test_no_more_seeds_are_suggested_for_an_experiment_that_is_a_sweep(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    overrides = small_overrides(
        tmp_path, "aux=vicreg", "seed=3", ONE_RUN, experiment="aux_comparison"
    )
    config = make_config("aux=vicreg", "seed=3", experiment="aux_comparison")
    commands = suggested(tmp_path, overrides, config)
    assert commands == [f"python -m jepa_lab.evaluate {tmp_path}"]  # the sweep chooses its seeds
