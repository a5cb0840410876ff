"""The names of several files say their order, or the files are refused as no trend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jepa_lab.cli.diagnosing import report_on
from jepa_lab.errors import UserError
from jepa_lab.report.series_order import in_order

Z = np.random.default_rng(0).normal(size=(150, 16))


def paths_of(names: list[str]) -> list[Path]:
    return [Path("runs/2024") / f"{name}.npz" for name in names]


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["z1", "z20", "z3"], [1, 3, 20]),
        (["run7_step100", "run7_step200"], [100, 200]),
        (["run7_step200", "run7b_step100"], [100, 200]),
        (["epoch=1-step=500", "epoch=2-step=900"], [500, 900]),
        (["step500_epoch1", "step900_epoch2"], [500, 900]),
        (["epoch3_v1", "epoch4_v2"], [3, 4]),
        (["epoch1_iter50", "epoch2_iter10", "epoch10_iter5"], [1, 2, 10]),
        (["iter50_epoch1", "iter10_epoch2"], [1, 2]),
        (["10/z", "20/z"], [10, 20]),
        (["layer4_epoch10", "layer4_epoch2"], [2, 10]),
        (["encoder_100", "encoder_50"], [50, 100]),
    ],
)
def test_steps_are_the_digits_that_differ(names: list[str], steps: list[int]) -> None:
    found = in_order(paths_of(names))
    assert (list(found.steps), found.how) == (steps, "from the digits in their names")


@pytest.mark.parametrize(
    ("names", "how"),
    [
        (["epoch1_iter50", "epoch1_iter100", "epoch2_iter10"], "the order of the digits in their"),
        (["d_2024-01-05_12-00", "d_2024-01-06_09-30", "d_2024-02-01_08-15"], "the digits"),
        (["F_init", "F_final"], "the order of the words in their names"),
        (["before", "after"], "the order of the words in their names"),
        (["init", "z1", "z20", "last"], "the order of the digits and words in their names"),
        (["young", "old"], "the order given"),
    ],
)
def test_an_order_without_steps_is_that_of_all_digits_and_words(names: list[str], how: str) -> None:
    paths = paths_of(names)
    found = in_order(paths if "given" in how else sorted(paths))
    assert list(found.paths) == paths
    assert found.how.startswith("counted from 0, in ")
    assert how in found.how
    assert found.steps == tuple(range(len(names)))


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["test", "train", "val"], "several sets, which are no trend"),
        (["train_1", "train_2", "test_1"], "several sets"),
        (["layer1", "layer2", "layer3"], "several taps"),
        (["conv1", "conv2", "fc"], "several taps"),
        (["z_online", "z_target"], "several taps"),
        (["rank0", "rank1"], "several parts"),
        (["seed1_step100", "seed2_step100"], "several runs"),
        (["a", "b"], "nothing in these names says their order"),
        (["a1", "b1"], "nothing in these names says their order"),
        (["z1", "z1"], "nothing in these names says their order"),
    ],
)
def test_files_without_an_order_are_refused_in_one_line(names: list[str], reason: str) -> None:
    with pytest.raises(UserError) as error:
        in_order(paths_of(names))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [("F_init", "F_final"), ("epoch1_iter50", "epoch2_iter10"), ("d_01-05_12", "d_01-06_00")],
)
def test_a_collapse_at_the_end_is_no_healthy_start(before: str, after: str, tmp_path: Path) -> None:
    np.savez(tmp_path / f"{before}.npz", z=Z)
    np.savez(tmp_path / f"{after}.npz", z=1 + 1e-6 * Z)
    text, content = report_on(tmp_path, "ours")
    assert content["verdict"]["status"] == "complete_collapse"
    assert content["features"] == [str(tmp_path / f"{name}.npz") for name in (before, after)]
    assert all(f"  {path}\n" in text for path in content["features"])


def test_many_files_are_listed_by_the_first_and_the_last() -> None:
    lines = in_order(paths_of([f"step{k}" for k in range(100)])).lines()
    assert (len(lines), lines[6]) == (13, "  ... 88 more")
