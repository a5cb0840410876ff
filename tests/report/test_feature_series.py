"""Several files of features in order are a trend, whose onset is a step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jepa_lab import diagnose
from jepa_lab.cli.diagnosing import report_on
from jepa_lab.diagnosis import diagnose_features, judge
from jepa_lab.errors import UserError

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(150, 16))
SCALES = {100: 1.0, 200: 1.0, 1000: 1e-5, 2000: 1e-6}


def saved(
    folder: Path, scales: dict[int, float], name: str = "step{}.npz", **more: Any
) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for step, scale in scales.items():
        paths.append(folder / name.format(step))
        np.savez(paths[-1], z=1 + scale * Z)
    return paths


def test_a_collapse_is_dated_by_the_file_where_it_began(tmp_path: Path) -> None:
    text, content = report_on(saved(tmp_path, SCALES), "ours")
    verdict = content["verdict"]
    assert (verdict["status"], verdict["tap"]) == ("complete_collapse", "z")
    assert verdict["since_step"] == 1000
    assert content["steps"] == [100, 200, 1000, 2000]
    assert content["last"]["line"] == diagnose_features(1 + 1e-6 * Z).line()
    assert "files:   4, steps from the digits in their names\n" in text
    for step in SCALES:
        assert f"\n  step {step:>4}  {tmp_path / f'step{step}.npz'}\n" in text
    assert f"the last file alone: {content['last']['line']}" in text
    assert "step    1000  complete_collapse of z" in text


def test_files_that_stay_healthy_are_healthy(tmp_path: Path) -> None:
    _, content = report_on(saved(tmp_path, dict.fromkeys(range(0, 500, 100), 1.0)), "ours")
    assert content["verdict"]["status"] == content["last"]["status"] == "healthy"


def test_the_trend_is_that_of_the_rules_on_the_metrics_of_all_files(tmp_path: Path) -> None:
    _, content = report_on(saved(tmp_path, SCALES), "ours")
    history = {key: [tuple(p) for p in points] for key, points in content["history"].items()}
    judged = judge(history, taps=("z",))
    assert content["trend"]["line"] == judged.line()
    assert content["verdict"]["line"] == judged.line()
    assert [step for step, _ in history["val/z/n"]] == list(SCALES)


@pytest.mark.parametrize("given", ["folder", "pattern", "shuffled"])
def test_a_folder_a_pattern_and_any_order_are_the_same_series(given: str, tmp_path: Path) -> None:
    paths = saved(tmp_path / "features", SCALES)
    expected = report_on(paths, "ours")[1]
    folder, pattern = tmp_path / "features", tmp_path / "*" / "step*.npz"
    which: Any = {"folder": folder, "pattern": pattern, "shuffled": paths[::-1]}[given]
    assert report_on(which, "ours")[1] == expected


def test_the_command_takes_several_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnose.main([*map(str, saved(tmp_path, SCALES)), "--json"])
    content = json.loads(capsys.readouterr().out)
    assert content["verdict"]["since_step"] == 1000
    with pytest.raises(SystemExit) as stopped:
        diagnose.main([*map(str, saved(tmp_path, SCALES)), "--investigate"])
    assert stopped.value.code == 2
    assert "--investigate reads one run; 4 paths were given" in capsys.readouterr().err


def test_the_last_file_decides_where_the_trend_sees_no_failure(tmp_path: Path) -> None:
    path = saved(tmp_path, {0: 1.0, 10: 1.0})[-1]
    half = np.where(RNG.random(150)[:, None] < 0.7, Z[:1], Z)  # most inputs are encoded alike
    np.savez(path, z=half)
    text, content = report_on(tmp_path, "ours")
    assert content["trend"]["status"] == "healthy"
    assert content["verdict"]["line"] == content["last"]["line"] == diagnose_features(half).line()
    assert content["verdict"]["status"] == "complete_collapse"
    assert "over all files: healthy" in text


def test_a_tap_that_fell_is_named_among_several(tmp_path: Path) -> None:
    for step in range(4):
        rank = 16 if step < 2 else 1
        np.savez(tmp_path / f"e{step}.npz", backbone=Z, projection=Z[:, :rank] @ Z[:rank, :8])
    text, content = report_on(tmp_path, "ours")
    verdict = content["verdict"]
    assert (verdict["status"], verdict["tap"]) == ("dimensional_collapse", "projection")
    assert verdict["since_step"] == 2
    assert content["taps"] == ["backbone", "projection"]
    assert "\n  backbone    healthy: " in text


def test_codes_and_references_of_the_files_are_part_of_the_trend(tmp_path: Path) -> None:
    used = {0: 64, 10: 64, 20: 1}
    for step, n in used.items():
        codes = np.arange(150) % n
        np.savez(tmp_path / f"s{step}.npz", z=Z, codes=codes, codebook_size=64, reference=Z + 1)
    _, content = report_on(tmp_path, "ours")
    verdict = content["verdict"]
    assert (verdict["status"], verdict["since_step"]) == ("codebook_collapse", 20)
    assert content["history"]["reference/z/n"] == [[0, 150]]


def test_rows_that_are_not_finite_are_dated_too(tmp_path: Path) -> None:
    paths = saved(tmp_path, {1: 1.0, 2: 1.0, 3: 1.0})
    broken = Z.copy()
    broken[3] = np.nan
    for path in paths[1:]:
        np.savez(path, z=broken)
    _, content = report_on(tmp_path, "ours")
    verdict = content["verdict"]
    assert (verdict["status"], verdict["since_step"]) == ("diverged", 2)
    assert content["last"]["line"].startswith("diverged of z: features are not finite: 1 of 150")


def log(folder: Path) -> Path:
    rows = "".join(f"{s},{1 / (1 + s)},1\n" for s in range(20))
    (folder / "log.csv").write_text(f"step,train/loss,train/lr\n{rows}")
    return folder / "log.csv"


def narrow(folder: Path) -> Path:
    np.savez(folder / "after.npz", z=Z[:, :5])
    return folder / "after.npz"


def other_taps(folder: Path) -> Path:
    np.savez(folder / "after.npz", backbone=Z, projection=Z)
    return folder / "after.npz"


def a_folder(folder: Path) -> Path:
    (folder / "b").mkdir()
    return folder / "b"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (log, "a log; of several paths, each has to be a file of features"),
        (a_folder, "a folder; of several paths"),
        (narrow, "z of 5 dimensions; the files before it have z of 16 dimensions"),
        (other_taps, "backbone of 16 dimensions, projection of 16 dimensions; the files before it"),
        (lambda folder: folder / "missing.npz", "no such file or folder"),
        (lambda folder: folder / "missing*.npz", "no such file or folder"),
    ],
)
def test_files_that_do_not_fit_are_one_line(
    make: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    (first,) = saved(tmp_path, {1: 1.0}, "before.npz")
    path = make(tmp_path)
    with pytest.raises(UserError) as error:
        report_on([first, path], "ours")
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_folder_with_one_file_of_features_is_that_file(tmp_path: Path) -> None:
    (path,) = saved(tmp_path, {1: 1.0})
    (tmp_path / "notes.txt").write_text("words")
    assert report_on(tmp_path, "ours")[1] == report_on(path, "ours")[1]
    shutil.copy(path, tmp_path / "[a].npz")
    assert "taps" not in report_on(tmp_path / "[a].npz", "ours")[1]  # a name, and no pattern


LABELS = np.arange(150) % 3


@pytest.mark.parametrize("told_apart", [True, False])
def test_labels_of_the_last_file_count_in_the_trend_as_they_do_alone(
    told_apart: bool, tmp_path: Path
) -> None:
    for step in range(4):
        rank = 16 if step < 2 else 1
        content = (LABELS if told_apart else RNG.permutation(LABELS)) - 1.0
        direction = content[:, None] * np.ones((1, 16)) + 1e-3 * Z
        np.savez(tmp_path / f"e{step}.npz", z=Z if rank > 1 else direction, labels=LABELS)
    text, content = report_on(tmp_path, "ours")
    wanted = "low_rank" if told_apart else "dimensional_collapse"
    found = {content[name]["status"] for name in ("verdict", "trend", "last")}
    assert found == {wanted}
    assert content["verdict"]["since_step"] == 2
    assert ("dimensional_collapse" in text) is not told_apart
    assert ("the labels of the last file are told apart" in text) is told_apart


@pytest.mark.parametrize("offset", [0.0, 400.0])
def test_no_collapse_is_named_where_the_labels_contradict_it(offset: float, tmp_path: Path) -> None:
    for step in range(5):
        z = (LABELS - 1.0)[:, None] + 1e-3 * Z + (0 if step < 3 else offset)
        np.savez(tmp_path / f"e{step}.npz", z=z if step else Z, labels=LABELS)
    text, content = report_on(tmp_path, "ours")
    assert {content[name]["status"] for name in ("verdict", "trend", "last")} == {"low_rank"}
    assert "_collapse" not in text.replace(str(tmp_path), "")


def test_a_common_mean_is_no_collapse_where_the_labels_contradict_it(tmp_path: Path) -> None:
    for step in range(4):
        z = 3 * np.eye(3, 16)[LABELS] + Z + (0 if step < 2 else 300)
        np.savez(tmp_path / f"e{step}.npz", z=z, labels=LABELS)
    text, content = report_on(tmp_path, "ours")
    assert {content[name]["status"] for name in ("verdict", "trend", "last")} == {"healthy"}
    assert content["verdict"]["since_step"] is None
    assert "_collapse" not in text.replace(str(tmp_path), "")


def test_another_failure_stands_although_labels_contradict_a_collapse(tmp_path: Path) -> None:
    for step in range(4):
        z = Z if step < 2 else (LABELS - 1.0)[:, None] + 1e-3 * Z
        codes = np.arange(150) % (64 if step < 1 else 1)
        more = {"codes": codes, "codebook_size": 64, "labels": LABELS}
        np.savez(tmp_path / f"e{step}.npz", z=z, **more)
    _, content = report_on(tmp_path, "ours")
    assert content["trend"]["status"] == "codebook_collapse"


def test_remarks_of_a_series_are_not_printed_before_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "s1.npz", features=Z)
    np.savez(tmp_path / "s2.npz", features=Z[:, :5])
    with pytest.raises(UserError):
        report_on(tmp_path, "ours")
    assert capsys.readouterr().err == ""
    np.savez(tmp_path / "s2.npz", features=Z)
    report_on(tmp_path, "ours")
    assert capsys.readouterr().err.count("z is features") == 1
