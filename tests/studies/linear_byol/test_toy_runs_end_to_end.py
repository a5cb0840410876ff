"""The toy from the command line to its files: tables, resume, skip, divergence, and sweeps over a
key."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jepa_lab import check as check_command
from jepa_lab.callbacks.stopping import StopOnRequest
from jepa_lab.cli import app as cli
from jepa_lab.ledger.atomic import temporary_beside
from jepa_lab.studies.linear_byol.module import LinearBYOL
from jepa_lab.studies.linear_byol.study import ToyStudy
from jepa_lab.studies.linear_byol.table import PUBLISHED, read_run
from killed_runs import start_command

TINY = [
    "d_latent=3",
    "d_obs=8",
    "epochs=40",
    "log_every=5",
    "hardware=cpu",
    "hardware.threads=1",
    "figures=false",
    "save_every_s=0",
]
ONE = ["+experiment=linear_byol", *TINY, "batch_size=4"]
GRID = [
    "+experiment=linear_byol_sweep",
    *TINY,
    "batch_sizes=[4,5]",
    "seeds=[1,2]",
    "lr_pred_logspace=[1e-3,3e-3,2]",
    "tau_logspace=[1e-2,1e-2,1]",
]
Command = Callable[..., tuple[int, str, str]]


def tables(folder: Path) -> dict[str, Path]:
    return {path.parent.name: path for path in sorted(folder.rglob("linear_byol.parquet"))}


def content(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Returns every run's columns except the wall-clock time."""
    found = {name: read_run(path) for name, path in tables(folder).items()}
    assert {meta["state"] for _, meta in found.values()} == {"completed"}
    return {
        name: {k: v for k, v in columns.items() if k != "wall_s"}
        for name, (columns, _) in found.items()
    }


def same_bits(a: dict[str, dict[str, np.ndarray]], b: dict[str, dict[str, np.ndarray]]) -> None:
    assert a.keys() == b.keys()
    for run in a:
        assert a[run].keys() == b[run].keys()
        for name in a[run]:
            np.testing.assert_array_equal(a[run][name], b[run][name], err_msg=f"{run} {name}")


def states(folder: Path) -> dict[str, str]:
    return {p.parent.name: json.loads(p.read_text())["state"] for p in folder.rglob("status.json")}


def mtimes(folder: Path) -> dict[str, int]:
    return {name: path.stat().st_mtime_ns for name, path in tables(folder).items()}


def replaced(line: list[str], overrides: list[str]) -> list[str]:
    """Returns the line with these overrides in place of those of the same keys."""
    keys = {override.partition("=")[0] for override in overrides}
    return [*(one for one in line if one.partition("=")[0] not in keys), *overrides]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    process = start_command(folder, GRID)
    process.join()
    assert process.exitcode == 0
    return content(folder)


def test_a_run_writes_the_published_columns_in_their_order_and_types(
    command: Command, tmp_path: Path
) -> None:
    code, out, _ = command(*ONE)
    assert code == 0
    assert "verdict: " in out
    ((name, path),) = tables(tmp_path).items()
    schema = pq.read_schema(path)
    assert tuple(schema.names[: len(PUBLISHED)]) == PUBLISHED
    whole = {"epoch", "seed", "batch_size", "d_latent", "d_obs"}
    for column in PUBLISHED:
        assert schema.field(column).type == (pa.int64() if column in whole else pa.float64()), (
            column
        )
    columns, meta = read_run(path)
    assert columns["epoch"].tolist() == [1, 5, 10, 15, 20, 25, 30, 35, 40]
    assert columns["sv_pred"].shape == (9, 3)
    assert meta["run_id"] == name == columns["run_id"][0]
    assert meta["state"] == "completed"
    for key, value in {
        "epochs": 40,
        "log_every": 5,
        "lr_enc_mode": "same",
        "enc": "linear",
        "lr_pred": 1e-3,
        "spectrum": "lin",
        "pred_update_every": 1,
        "auto_alpha_c": None,
    }.items():
        assert meta["config"][key] == value
    assert np.all(columns["W_Fro_aligned"] <= columns["W_Fro_raw"])
    # log10 of NumPy is not exactly rounded: its last bit depends on the length of the array
    np.testing.assert_allclose(
        columns["log10_W_Fro_raw"], np.log10(columns["W_Fro_raw"]), rtol=1e-12
    )
    summary = json.loads((path.parent / "summary.json").read_text())
    assert summary["metrics"]["val/W_Fro_raw"]["last"] == columns["W_Fro_raw"][-1]
    assert pq.ParquetFile(path).num_row_groups == 1


@pytest.mark.parametrize(
    ("overrides", "missing"),
    [
        (
            ["pred=mlp", "hidden=4"],
            {"W_rel_sv_err", "W_Fro_raw", "W_Fro_aligned", "W_cos_left_min", "W_cos_right_min"},
        ),
        (
            ["enc=mlp", "hidden=4"],
            {
                "enc_cos_min",
                "enc_cos_mean",
                "enc_proj_dist",
                "BA_err_raw",
                "BA_err_aligned",
                "enc_procrustes_fro",
            },
        ),
    ],
)
def test_an_mlp_has_no_columns_that_need_a_matrix(
    overrides: list[str], missing: set[str], command: Command, tmp_path: Path
) -> None:
    assert command(*replaced(ONE, overrides))[0] == 0
    ((_, path),) = tables(tmp_path).items()
    names = pq.read_schema(path).names
    kept = [name for name in PUBLISHED if name not in missing]
    assert names[: len(kept)] == kept
    assert not missing & set(names)


def test_a_finished_run_is_skipped_restarted_or_refused_by_on_existing(
    command: Command, tmp_path: Path
) -> None:
    command(*ONE)
    first, before = content(tmp_path), mtimes(tmp_path)
    code, out, _ = command(*ONE)
    assert code == 0
    assert "finished before, nothing to do" in out
    assert mtimes(tmp_path) == before
    code, _, err = command(*ONE, "on_existing=error")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "this run exists" in err
    assert mtimes(tmp_path) == before
    assert command(*ONE, "on_existing=restart")[0] == 0
    assert mtimes(tmp_path) != before
    same_bits(content(tmp_path), first)


def test_a_grid_with_one_more_seed_trains_only_the_new_runs(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    start = LinearBYOL.__init__

    def counting(self: LinearBYOL, members: Any, *args: Any, **kwargs: Any) -> None:
        trained.append(len(members))
        start(self, members, *args, **kwargs)

    monkeypatch.setattr(LinearBYOL, "__init__", counting)
    command(*GRID)
    before = mtimes(tmp_path)
    assert len(before) == 8
    code, out, _ = command(*GRID, "seeds=[1,2,3]")
    assert code == 0
    assert "12 runs: " in out
    after = mtimes(tmp_path)
    assert len(after) == 12
    assert before.items() <= after.items()
    assert trained == [8, 4]
    assert set(states(tmp_path).values()) == {"completed"}


@pytest.mark.parametrize("kill_at", [3, 6])
def test_a_killed_grid_resumes_to_the_same_bits(
    kill_at: int, uninterrupted: dict[str, dict[str, np.ndarray]], tmp_path: Path, command: Command
) -> None:
    process = multiprocessing.get_context("forkserver").Process(
        target=_die_at, args=(kill_at, tmp_path)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (ckpt,) = tmp_path.rglob("last.ckpt")
    whole = {"last.ckpt", "previous.ckpt"}
    assert len([p for p in ckpt.parent.iterdir() if p.name not in whole]) == 1  # half-written
    code, _, _ = command(*GRID)
    assert code == 0
    assert ckpt.parent.parent.name.startswith("grid-")
    same_bits(content(tmp_path), uninterrupted)


def _die_at(nth: int, folder: Path) -> None:
    """Runs the grid in this process, which kills itself in the middle of writing its nth
    checkpoint."""
    from jepa_lab.callbacks import checkpoints

    visits = 0

    def half(path: Path, content: Any) -> None:
        nonlocal visits
        visits += 1
        if visits == nth:
            temporary_beside(path).write_bytes(bytes(content)[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        whole(path, content)

    whole = checkpoints.write_atomic
    checkpoints.write_atomic = half  # type: ignore[assignment]
    os.chdir(folder)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    sys.argv = ["jepa_lab"]
    cli.main(GRID)


def stopped_after(blocks: int, command: Command, *overrides: str) -> tuple[int, str, str]:
    """Runs the command, and lets its wall-clock limit expire after that many blocks."""
    seen = 0
    before = StopOnRequest.on_train_batch_end

    def counted(self: StopOnRequest, *args: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == blocks:
            self.max_wall_s = 1e-9
        before(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopOnRequest, "on_train_batch_end", counted)
        return command(*overrides)


def test_a_grid_stopped_by_max_wall_s_reports_it_and_resumes_from_there(
    uninterrupted: dict[str, dict[str, np.ndarray]], command: Command, tmp_path: Path
) -> None:
    code, out, _ = stopped_after(4, command, *GRID, "max_wall_s=600")
    assert code == 0
    assert "stopped (max_wall_s=1e-09 reached)" in out
    assert list(states(tmp_path).values()) == ["stopped"]
    partial = {meta["state"] for _, meta in map(read_run, tables(tmp_path).values())}
    assert partial == {"running"}
    assert command(*GRID, "on_existing=error")[0] == 2
    with pytest.MonkeyPatch.context() as patch:
        steps: list[int] = []
        held: list[Any] = []
        judge = ToyStudy.judge
        patch.setattr(
            ToyStudy, "judge", lambda s, at, fit: (held.append(at.checkpoint), judge(s, at, fit))[1]
        )
        step = LinearBYOL.training_step
        patch.setattr(
            LinearBYOL, "training_step", lambda s, b, *a: (steps.append(b.first), step(s, b, *a))[1]
        )
        assert command(*GRID)[0] == 0
    assert held == [{}], "the rows of the checkpoint, which the resumed run holds too"
    assert min(steps) == 16  # blocks end at 1, 5, 10, 15
    same_bits(content(tmp_path), uninterrupted)


def test_a_stopped_grid_resumes_with_its_axes_in_another_order(
    uninterrupted: dict[str, dict[str, np.ndarray]], command: Command, tmp_path: Path
) -> None:
    stopped_after(4, command, *GRID)
    code, _, _ = command(
        *GRID, "seeds=[2,1]", "batch_sizes=[5,4]", "lr_pred_logspace=[3e-3,1e-3,2]"
    )
    assert code == 0
    same_bits(content(tmp_path), uninterrupted)


def test_a_damaged_checkpoint_is_reported_and_the_previous_one_is_used(
    uninterrupted: dict[str, dict[str, np.ndarray]], command: Command, tmp_path: Path
) -> None:
    stopped_after(4, command, *GRID)
    (last,) = tmp_path.rglob("last.ckpt")
    last.write_bytes(last.read_bytes()[:1000])
    code, _, err = command(*GRID)
    assert code == 0
    assert [line for line in err.splitlines() if "damaged" in line]
    same_bits(content(tmp_path), uninterrupted)


def test_a_restarted_grid_that_was_stopped_does_not_count_as_finished(
    command: Command, tmp_path: Path
) -> None:
    command(*GRID)
    first = content(tmp_path)
    stopped_after(3, command, *GRID, "on_existing=restart")
    assert command(*GRID)[0] == 0
    same_bits(content(tmp_path), first)


def test_a_diverged_run_is_recorded_and_the_others_continue(
    uninterrupted: dict[str, dict[str, np.ndarray]], command: Command, tmp_path: Path
) -> None:
    code, out, err = command(*GRID, "lr_pred_logspace=[1e-3,1e9,2]")
    assert code == 0
    assert "4 diverged" in err
    assert "4 diverged" in out
    found = content(tmp_path)
    ended = {name: columns for name, columns in found.items() if columns["diverged"][-1]}
    assert len(ended) == 4
    for name, columns in ended.items():
        assert columns["epoch"][-1] == columns["diverged_step"][0] < 40
        (status,) = (
            json.loads((p.parent / "summary.json").read_text())["verdict"]["status"]
            for p in tables(tmp_path).values()
            if p.parent.name == name
        )
        assert status == "diverged"
    for name in found.keys() - ended.keys():
        assert len(found[name]["epoch"]) == 9
        for column, values in found[name].items():
            if values.dtype == np.float64:
                np.testing.assert_allclose(
                    values, uninterrupted[name][column], rtol=1e-5, atol=1e-9
                )


@pytest.mark.parametrize(
    "overrides", [["lr=1e300", "log_every=1"], ["lr=1e9"], ["lr=1e300", "enc=mlp", "hidden=3"]]
)
def test_a_run_that_diverges_before_the_first_measurement_has_a_table(
    overrides: list[str], command: Command, tmp_path: Path
) -> None:
    code, out, _ = command(*replaced(ONE, overrides))
    assert code == 0
    assert "diverged" in out
    ((_, path),) = tables(tmp_path).items()
    table = pq.read_table(path)
    assert table["diverged"][-1].as_py()
    assert {"lr_pred", "Hmax", "loss"} <= set(table.column_names)


@pytest.mark.parametrize(
    "overrides",
    [
        ["d_latent=1", "d_obs=1"],
        ["batch_size=1"],
        ["epochs=1"],
        ["epochs=3", "log_every=100"],
        ["sigma_n=0"],
        ["lr_pred=0", "lr_enc=0"],
        ["enc_init=random", "enc_init_scale=0"],
        ["lr=1e9"],
        ["pred=none"],
        ["population=true"],
        ["enc=mlp", "pred=mlp", "hidden=3"],
        ["lr_enc_mode=auto"],
    ],
    ids=" ".join,
)
def test_unusual_valid_settings_end_with_a_page_and_a_verdict(
    overrides: list[str], command: Command, tmp_path: Path
) -> None:
    code, out, err = command(*replaced(ONE, ["figures=true", *overrides]), "runs_dir='läufe é'")
    assert code == 0, err
    assert "Traceback" not in err
    (page,) = (tmp_path / "läufe é").rglob("dynamics.png")
    assert page.stat().st_size > 10_000
    assert "nan" not in out.lower()


def test_a_grid_of_diverged_runs_is_drawn(command: Command, tmp_path: Path) -> None:
    code, out, err = command(
        *GRID, "lr_pred_logspace=[1e5,1e9,2]", "batch_sizes=[4]", "figures=true"
    )
    assert code == 0, err
    assert "4 runs: 4 diverged" in out
    assert "median" not in out  # no run has a last value
    assert list(tmp_path.rglob("heatmap_W_Fro_aligned_bs4_epoch*.png"))


def test_a_value_that_replaces_an_axis_is_reported(command: Command) -> None:
    _, out, err = command(*ONE, "seeds=[1,2]")
    assert "seed=42 replaces seeds=[1, 2]" in err
    assert "finished before" not in out


def test_any_key_can_be_swept_and_its_runs_are_compared(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("-m", *ONE, "sigma_n=0.1,0.5")
    assert code == 0
    assert len(tables(tmp_path)) == 2
    assert "2 jobs" in out or "2 done" in out
    (comparison,) = tmp_path.rglob("comparison.csv")
    assert len(comparison.read_text().splitlines()) >= 3
    code, out, _ = command("-m", *ONE, "sigma_n=0.1,0.5")
    assert code == 0
    assert "skip" in out


def test_check_lists_the_grid_and_trains_nothing(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("+experiment=linear_byol_sweep", main=check_command.main)
    assert code == 0
    assert "64 runs, 64 to train" in out
    assert not list(tmp_path.rglob("*.parquet"))
