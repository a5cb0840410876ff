"""A branch without a change reproduces its parent to the bit; one with a change starts from the
same state and differs from there on."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import compose_checked, small_arc_overrides, small_overrides
from jepa_lab.branch import main as branch
from jepa_lab.callbacks.checkpoints import read_checkpoint
from jepa_lab.callbacks.state_ring import states_in
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.read import read_yaml
from jepa_lab.studies.run import train
from jepa_lab.training.branching import fit_state
from jepa_lab.training.optimisation import learning_rate_factor

OFTEN = ["monitor.save_every_s=0", "monitor.ring=40", "keep=all"]
CASES = {
    "accumulation, an average, dropout": (
        "seq_jepa_baseline",
        ["optim.accumulate=2", "model.dropout=0.2", "target.memory=0.3"],
    ),
    "dino": ("seq_jepa_baseline", ["loss=dino", "loss.prototypes=16", "loss.head_hidden=16"]),
    "saccades": ("seq_jepa_stopgrad", ["dataset=digits_saccade"]),
    "an auxiliary loss": ("teacherless_b", ["aux=vicreg"]),
    "arc with a queue and a codebook": ("arc_jepa", []),
}


def parent_of(folder: Path, experiment: str, overrides: list[str]) -> Path:
    """Trains a run that keeps the state of every step, and returns its folder."""
    small = small_arc_overrides if experiment.startswith("arc") else small_overrides
    line = small(folder, *overrides, *OFTEN, experiment=experiment)
    return train(compose_checked(line), command_line=CommandLine(tuple(line))).run_dir


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parent_of(tmp_path_factory.mktemp("parent"), "seq_jepa_baseline", [])


def steps_of(run: Path) -> list[int]:
    return [state.step for state in states_in(run / "checkpoints" / "ring")]


def ended(*args: str) -> int:
    try:
        branch(list(args))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def branches(run: Path) -> list[Path]:
    found = [p.parent for p in run.parent.glob("*/config.yaml") if p.parent != run]
    return sorted(found, key=lambda p: p.stat().st_mtime)


@pytest.mark.parametrize("case", CASES)
def test_a_control_reproduces_the_run_to_the_bit(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = parent_of(tmp_path, *CASES[case])
    steps = steps_of(run)
    assert len(steps) >= 2
    for step in random.Random(case).sample(steps[:-1], min(4, len(steps) - 1)):
        capsys.readouterr()
        assert ended(str(run), "--at", str(step)) == 0
        out = capsys.readouterr().out
        assert f"from step {step} of {run}" in out
        assert "equal those of the parent to the bit" in out, out[-300:]
        assert " tensors" in out


def test_a_control_that_differs_is_an_error(
    parent: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "jepa_lab.training.branch_comparison.read_metrics", differing(parent / "metrics.parquet")
    )
    assert ended(str(parent), "--at", str(steps_of(parent)[1])) == 1
    assert "control: differs from its parent: " in capsys.readouterr().out


def differing(of_parent: Path) -> Any:
    from jepa_lab.ledger.parquet import read_metrics

    def read(path: Path) -> Any:
        table = read_metrics(path)
        return table if path == of_parent else table.slice(1)

    return read


def test_a_branch_shares_the_curves_of_its_parent_up_to_its_start(parent: Path) -> None:
    step = steps_of(parent)[2]
    assert ended(str(parent), "--at", str(step), "--set", "optim.lr=0.05") == 0
    one, other = history_of(parent), history_of(branches(parent)[-1])
    key = "train/loss/total"
    before = [point for point in one[key] if point[0] < step]
    assert other[key][: len(before)] == before
    assert [s for s, _ in other[key]] == [s for s, _ in one[key]]
    assert other[key] != one[key]
    config = read_yaml(branches(parent)[-1] / "config.yaml")
    assert config["branch"] == {"parent": parent.name, "step": step}


def test_seeds_repeat_with_other_draws(parent: Path) -> None:
    step = str(steps_of(parent)[2])
    assert ended(str(parent), "--at", step, "--set", "optim.clip=1.0", "--seeds", "2") == 0
    seeds = {read_yaml(run / "config.yaml")["seed"] for run in branches(parent)}
    assert {0, 1000} <= seeds


def test_an_average_begins_at_the_encoder_of_the_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = parent_of(tmp_path, "seq_jepa_stopgrad", [])
    step = steps_of(run)[2]
    assert ended(str(run), "--at", str(step), "--set", "target=ema", "target.tau=1.0") == 0
    assert "the average starts at the encoder of this step" in capsys.readouterr().err
    state = read_checkpoint(run / "checkpoints" / "ring" / f"{step:08d}.ckpt")["state_dict"]
    last = read_checkpoint(branches(run)[-1] / "checkpoints" / "last.ckpt")["state_dict"]
    kept = [k for k in last if k.startswith("target_encoder.") and k.endswith("weight")]
    assert kept
    for key in kept:
        assert torch.equal(last[key], state[key.replace("target_encoder.", "network.encoder.")])


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--set", "encoder.widths=[4,8]"], "encoder.widths cannot change in the middle of a run"),
        (["--set", "dataset.batch_size=32"], "dataset.batch_size cannot change in the middle"),
        (["--at", "soon"], "--at soon: expected a step, 40%, onset"),
        (["--set", "optim.lr=fast"], "optim.lr"),
    ],
)
def test_what_cannot_be_branched_gets_one_line(
    parent: Path, args: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = branches(parent)
    at = [] if "--at" in args else ["--at", str(steps_of(parent)[1])]
    assert ended(str(parent), *at, *args) == 2
    assert line in capsys.readouterr().err
    assert branches(parent) == before


def test_a_verdict_without_an_onset_asks_for_a_step(
    parent: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepa_lab.cli.branching.read_json", lambda path: {"verdict": {}})
    assert ended(str(parent), "--at", "onset") == 2
    assert "its verdict has no onset; give a step or a share" in capsys.readouterr().err


def test_a_folder_without_states_names_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = small_overrides(tmp_path)
    run = train(compose_checked(line), command_line=CommandLine(tuple(line))).run_dir
    assert ended(str(run), "--at", "3") == 2
    assert "no state at or before step 3 (states: none); --at 0" in capsys.readouterr().err


def test_a_branch_that_nobody_began_is_not_trained_from_scratch(tmp_path: Path) -> None:
    from jepa_lab.errors import UserError

    line = small_overrides(tmp_path, "branch.parent='abc'", "branch.step=4")
    with pytest.raises(UserError, match="begun by jepa-lab branch"):
        train(compose_checked(line))


def test_the_rate_of_a_branch_acts_at_once_and_the_moments_stay(parent: Path) -> None:
    from jepa_lab.studies.seq_jepa.study import STUDY

    state = read_checkpoint(states_in(parent / "checkpoints" / "ring")[3].path)
    line = small_overrides(parent.parents[2], *OFTEN, experiment="seq_jepa_baseline")
    old, config = compose_checked(line), compose_checked([*line, "optim.lr=0.5"])
    data = STUDY.load(config)
    new = STUDY.prepare(config, data).module
    fitted = fit_state(state, STUDY.prepare(old, data).module, new, config).content
    (optimiser,), (before,) = fitted["optimizer_states"], state["optimizer_states"]
    last = state["lr_schedulers"][0]["last_epoch"]
    rate = 0.5 * learning_rate_factor(last, new.steps, config.optim)
    assert {group["lr"] for group in optimiser["param_groups"]} == {rate}
    assert optimiser["state"].keys() == before["state"].keys()
    for index, moments in before["state"].items():
        assert torch.equal(optimiser["state"][index]["exp_avg"], moments["exp_avg"])
