"""overrides.yaml: the line of one run, as it was typed, whatever command made the run."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from jepa_lab.ledger.command_line import ONE_RUN, CommandLine, read_command_line, write_command_line

Command = Callable[..., tuple[int, str, str]]
SMALL = [
    "tier=smoke",
    "hardware=cpu",
    "hardware.threads=1",
    "dataset.epochs=1",
    "dataset.train_size=32",
    "dataset.val_size=32",
    "dataset.batch_size=16",
    "encoder.widths=[8]",
    "model=seq_jepa_small",
    "probes.hidden=8",
]
B = ["+experiment=teacherless_b", *SMALL]


def kept() -> dict[Path, list[str]]:
    """{run: the overrides that it keeps} below the current folder."""
    files = sorted(Path("runs").glob("*/*/overrides.yaml"))
    return {file.parent: yaml.safe_load(file.read_text())["overrides"] for file in files}


def test_a_run_keeps_the_words_of_its_line_and_the_line_finds_the_run_again(
    command: Command,
) -> None:
    assert command(*B, "seed=3", "on_existing=resume", "max_wall_s=900")[0] == 0
    ((run, words),) = kept().items()
    assert words == [*B, "seed=3", "on_existing=resume", "max_wall_s=900"]
    own = read_command_line(run)
    assert own is not None
    assert own.overrides == (*B, "seed=3")  # how the command was run is no part of the run
    assert own.text() in html.unescape((run / "report.html").read_text())
    code, out, _ = command(*shlex.split(own.text())[3:])
    assert code == 0
    assert f"finished before, nothing to do: {run}" in out.replace(f"{Path.cwd()}/", "")


@pytest.mark.parametrize("swept", ["seed=0,1", "seed=range(2)"])
def test_a_run_of_a_sweep_keeps_the_line_of_this_run_alone(swept: str, command: Command) -> None:
    assert command("-m", *B, swept)[0] == 0
    keeps_single_lines(command)


def test_a_run_that_another_process_made_keeps_its_line_too(command: Command) -> None:
    loky = pytest.importorskip("joblib.externals.loky")
    loky.get_reusable_executor().shutdown(wait=True)  # workers of another test have its folder
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert command("-m", *launcher, *B, "seed=0,1")[0] == 0
    keeps_single_lines(command)
    loky.get_reusable_executor().shutdown(wait=True)


def keeps_single_lines(command: Command) -> None:
    """Each of the two runs has the line of one seed, which finds the run again."""
    found = kept()
    seeds = sorted(word for words in found.values() for word in words if "seed" in word)
    assert seeds == ["seed=0", "seed=1"]
    for run, words in found.items():
        assert set(B) < set(words)
        own = read_command_line(run)
        assert own is not None
        assert own.text().startswith("python -m jepa_lab +experiment=teacherless_b ")
        assert command(*own.overrides)[0] == 0
    assert kept() == found


def test_a_run_of_a_sweep_over_experiments_keeps_keys_as_they_were_typed(command: Command) -> None:
    words = [word for word in SMALL if not word.startswith("model=")]
    assert command("-m", "+experiment=teacherless_b,teacherless_a", *words)[0] == 0
    found = kept()
    assert {run.parent.name for run in found} == {"teacherless_a", "teacherless_b"}
    for run, own in found.items():
        assert f"+experiment={run.parent.name}" in own
        code, out, _ = command(*own)
        assert code == 0
        assert f"finished before, nothing to do: {run}" in out.replace(f"{Path.cwd()}/", "")


def test_a_rung_of_a_ladder_keeps_its_own_tier(command: Command) -> None:
    words = [word for word in B if not word.startswith("tier=")]
    assert command(*words, "tier=ladder")[0] == 0
    tiers = {word for own in kept().values() for word in own if word.startswith("tier=")}
    assert "tier=smoke" in tiers
    assert "tier=ladder" not in tiers


def test_one_run_of_an_experiment_that_sweeps_by_itself_says_so(command: Command) -> None:
    assert command("+experiment=aux_comparison", "aux=vicreg", *SMALL, ONE_RUN)[0] == 0
    ((_, words),) = kept().items()
    assert ONE_RUN in words
    assert CommandLine(tuple(words)).sweeps_by_itself


def test_changes_take_the_place_of_their_key_and_a_group_takes_its_keys_along() -> None:
    own = CommandLine(
        ("+experiment=x", "target=ema", "target.tau=0.9", "+aux.v.weight=1", "optim.lr=1"),
        "/home/me/mine",
    )
    assert own.changed(["target=stopgrad", "aux.v.weight=2"]).overrides == (
        "+experiment=x",
        "optim.lr=1",
        "target=stopgrad",
        "aux.v.weight=2",
    )
    assert own.text("-m").startswith(
        "python -m jepa_lab -m --config-dir /home/me/mine +experiment=x target=ema"
    )
    assert CommandLine(("a=[1,2]", "b=c d")).text() == "python -m jepa_lab 'a=[1,2]' 'b=c d'"


@pytest.mark.parametrize(
    "text", ["", "[1]", "overrides: 3", "overrides: [1, 2]", "overrides: [a", "config_dir: x"]
)
def test_a_damaged_file_is_as_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "overrides.yaml").write_text(text)
    assert read_command_line(tmp_path) is None


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    overrides = CommandLine(
        ("+experiment=x", "dataset.path='für mich: a, b.npz'", "encoder.widths=[8]"), "/a b"
    )
    write_command_line(tmp_path, overrides)
    assert read_command_line(tmp_path) == overrides
    assert re.search(r"^config_dir: /a b$", (tmp_path / "overrides.yaml").read_text(), re.MULTILINE)
