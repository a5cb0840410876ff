"""overrides.yaml holds the command line of one run as typed, whichever command made the run."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from jepa_lab.cli.compose import as_data
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


ARC = [
    ["+experiment=arc_jepa"],
    ["+experiment=arc_jepa", "vq=gumbel", "vq.size=8", "dataset=arc_agi2", "model.context=gru"],
    ["+experiment=arc_jepa", "dataset=arc_json", "dataset.path='my tasks, 2'", "seed=3"],
    [
        "+experiment=arc_jepa",
        "loss.invariance={color: 0.1, form: published}",
        "dataset.slot_features=published",
    ],
    ["+experiment=arc_sixth_run", "target=shared", "target.tau=null", "vq.refresh.interval=7"],
    ["+experiment=arc_sixth_run", "vq=codebook", "dataset.synthetic.pairs=[3,1]", "model.width=16"],
    ["+experiment=arc_fsq", "vq.levels=[4,4]"],
    ["+experiment=arc_lejepa", "loss.sigreg.n_slices=8"],
    ["+experiment=arc_jepa", "aux=[vicreg,coding_rate]", "aux.coding_rate.site=z_agg"],
]


def kept() -> dict[Path, list[str]]:
    """Returns {run: its stored overrides} below the current folder."""
    files = sorted(Path("runs").glob("*/*/overrides.yaml"))
    return {file.parent: yaml.safe_load(file.read_text())["overrides"] for file in files}


def test_a_run_keeps_its_overrides_and_they_select_the_same_run(command: Command) -> None:
    assert command(*B, "seed=3", "on_existing=resume", "max_wall_s=900")[0] == 0
    ((run, overrides),) = kept().items()
    assert overrides == [*B, "seed=3", "on_existing=resume", "max_wall_s=900"]
    own = read_command_line(run)
    assert own is not None
    assert own.overrides == (*B, "seed=3")  # without overrides that only set how the command runs
    assert own.text() in html.unescape((run / "report.html").read_text())
    code, out, _ = command(*shlex.split(own.text())[3:])
    assert code == 0
    assert f"finished before, nothing to do: {run}" in out.replace(f"{Path.cwd()}/", "")


@pytest.mark.parametrize("overrides", ARC, ids=" ".join)
def test_a_command_line_as_text_composes_to_the_same_configuration(
    overrides: list[str], tmp_path: Path
) -> None:
    write_command_line(tmp_path, CommandLine(tuple(overrides)))
    line = read_command_line(tmp_path)
    assert line is not None
    config = as_data(shlex.split(line.text())[3:])
    assert config is not None
    assert config == as_data(overrides)


def test_the_number_of_threads_is_in_the_command_line_also_if_it_was_not_typed(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.yaml").write_text("hardware: {threads: 3}\n")
    typed = ("+experiment=teacherless_b", "seed=1")
    write_command_line(tmp_path, CommandLine(typed))
    assert read_command_line(tmp_path) == CommandLine((*typed, "hardware.threads=3"))
    write_command_line(tmp_path, CommandLine((*typed, "++hardware.threads=2")))
    assert read_command_line(tmp_path) == CommandLine((*typed, "++hardware.threads=2"))


@pytest.mark.parametrize("swept", ["seed=0,1", "seed=range(2)"])
def test_a_run_of_a_sweep_keeps_the_command_line_of_this_run_alone(
    swept: str, command: Command
) -> None:
    assert command("-m", *B, swept)[0] == 0
    keeps_single_lines(command)


def test_a_run_made_in_another_process_keeps_its_command_line_too(command: Command) -> None:
    loky = pytest.importorskip("joblib.externals.loky")
    loky.get_reusable_executor().shutdown(wait=True)  # workers of another test have its folder
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert command("-m", *launcher, *B, "seed=0,1")[0] == 0
    keeps_single_lines(command)
    loky.get_reusable_executor().shutdown(wait=True)


def keeps_single_lines(command: Command) -> None:
    """Checks that each of the two runs stores the overrides of one seed, and that these select the
    run again."""
    stored = kept()
    seeds = sorted(
        override for overrides in stored.values() for override in overrides if "seed" in override
    )
    assert seeds == ["seed=0", "seed=1"]
    for run, overrides in stored.items():
        assert set(B) < set(overrides)
        own = read_command_line(run)
        assert own is not None
        assert own.text().startswith("python -m jepa_lab +experiment=teacherless_b ")
        assert command(*own.overrides)[0] == 0
    assert kept() == stored


def test_a_run_of_a_sweep_over_experiments_keeps_its_keys_as_typed(command: Command) -> None:
    overrides = [override for override in SMALL if not override.startswith("model=")]
    assert command("-m", "+experiment=teacherless_b,teacherless_a", *overrides)[0] == 0
    stored = kept()
    assert {run.parent.name for run in stored} == {"teacherless_a", "teacherless_b"}
    for run, own in stored.items():
        assert f"+experiment={run.parent.name}" in own
        code, out, _ = command(*own)
        assert code == 0
        assert f"finished before, nothing to do: {run}" in out.replace(f"{Path.cwd()}/", "")


def test_a_rung_of_a_ladder_keeps_its_own_tier(command: Command) -> None:
    overrides = [override for override in B if not override.startswith("tier=")]
    assert command(*overrides, "tier=ladder")[0] == 0
    tiers = {
        override for own in kept().values() for override in own if override.startswith("tier=")
    }
    assert "tier=smoke" in tiers
    assert "tier=ladder" not in tiers


def test_one_run_of_an_experiment_that_defines_a_sweep_is_marked(command: Command) -> None:
    assert command("+experiment=aux_comparison", "aux=vicreg", *SMALL, ONE_RUN)[0] == 0
    ((_, overrides),) = kept().items()
    assert ONE_RUN in overrides
    assert CommandLine(tuple(overrides)).sweeps_by_itself


def test_changes_replace_their_keys_and_a_changed_group_drops_its_keys() -> None:
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
def test_a_damaged_file_is_treated_as_missing(text: str, tmp_path: Path) -> None:
    (tmp_path / "overrides.yaml").write_text(text)
    assert read_command_line(tmp_path) is None


def test_a_command_line_is_read_as_it_was_written(tmp_path: Path) -> None:
    line = CommandLine(
        ("+experiment=x", "dataset.path='für mich: a, b.npz'", "encoder.widths=[8]"), "/a b"
    )
    write_command_line(tmp_path, line)
    assert read_command_line(tmp_path) == line
    assert re.search(r"^config_dir: /a b$", (tmp_path / "overrides.yaml").read_text(), re.MULTILINE)
