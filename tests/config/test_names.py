"""The name of an experiment is the name of one folder, so that nothing is written outside
runs_dir."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jepa_lab.config.ranges import plain_name

Command = Callable[..., tuple[int, str, str]]
TOY = ["+experiment=linear_byol", "epochs=2", "figures=false"]


@pytest.mark.parametrize("name", ["a", "teacherless_b", "_x", "A.b-c_1", "3d", "a" * 100])
def test_letters_digits_dots_and_dashes_name_a_folder(name: str) -> None:
    plain_name("name", name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../../x", "a/b", "/a", "a\\b", ".x", "-x", "a b", "a\n", "ü", "a" * 101],
)
def test_a_path_or_any_other_text_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="names a folder: letters") as caught:
        plain_name("name", name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "line",
    [
        [*TOY, "name=.."],
        [*TOY, "name=''"],
        ["-m", *TOY, "seed=0,1", "name=../../x"],
        ["-m", *TOY, "name=fine,a/b"],
        ["+experiment=teacherless_b", "tier=smoke", "name=a/b"],
        ["+experiment=arc_jepa", "tier=smoke", "name=-x"],
    ],
    ids=["toy", "empty", "sweep", "sweep over names", "seq-JEPA", "ARC"],
)
def test_a_name_that_is_a_path_is_refused_before_anything_is_written(
    line: list[str], command: Command, tmp_path: Path
) -> None:
    code, _, err = command(*line)
    assert code == 2
    assert err.startswith("jepa_lab: name=")
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.rglob("*"))


def test_the_name_in_an_own_experiment_is_checked_too(command: Command, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "experiment"
    mine.mkdir(parents=True)
    (mine / "own.yaml").write_text(
        "# @package _global_\ndefaults: [/experiment/linear_byol, _self_]\nname: ../../../evil\n"
    )
    code, _, err = command("--config-dir", "mine", "+experiment=own", "epochs=2")
    assert (code, err.startswith("jepa_lab: name='../../../evil'")) == (2, True), err
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
