"""Logs without features that somebody else's code wrote: tables of scalars, and what is said where
the metrics of a tap are missing."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from jepa_lab.cli.diagnosing import report_on
from jepa_lab.errors import UserError


def table(name: str, rows: Iterable[str]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text("".join(f"{row}\n" for row in rows))
        return folder / name

    return make


STEPS = range(0, 400, 20)


def lightning(
    rank: Callable[[int], float], spread: Callable[[int], float] = lambda s: 1.0
) -> Callable[[Path], Path]:
    """The metrics.csv of CSVLogger, with rows for training and rows for validation."""
    metrics = ("effective_rank", "feature_std_l2", "n", "d")
    names = ",".join(["epoch,step,train_loss", *(f"val/code/{name}" for name in metrics)])
    training = [f"{s // 20},{s},{1 / (1 + s)},,,," for s in STEPS]
    validation = [f"{s // 20},{s + 19},,{rank(s)},{spread(s)},512,32" for s in STEPS]
    rows = [row for pair in zip(training, validation, strict=True) for row in pair]
    return table("metrics.csv", [names, *rows])


def exported(rank: Callable[[int], float], name: str = "lively-sun-1") -> Callable[[Path], Path]:
    """The export of a chart of W&B, with its quotes and its columns of bounds."""
    metrics = ("effective_rank", "effective_rank__MIN", "effective_rank__MAX", "feature_std_l2")
    names = ",".join(f'"{name} - val/code/{metric}"' for metric in metrics)
    rows = [f'"{s}","{rank(s)}","0","99","0.9"' for s in STEPS]
    return table("wandb_export.csv", [f'"Step",{names}', *rows])


def low(step: int) -> float:
    return 20.0 if step < 200 else 1.3


LOGS = {"Lightning": lightning, "W&B export": exported}


@pytest.mark.parametrize("make", LOGS.values(), ids=LOGS)
def test_tables_of_other_loggers_are_judged(
    make: Callable[..., Callable[[Path], Path]], tmp_path: Path
) -> None:
    _, healthy = report_on(make(lambda step: 20.0)(tmp_path), "ours")
    assert healthy["verdict"]["status"] == "healthy"
    text, content = report_on(make(low)(tmp_path), "published")
    assert content["verdict"]["status"] == "dimensional_collapse"
    assert content["verdict"]["tap"] == "code"
    assert content["verdict"]["since_step"] in (200, 219)
    assert "published rules: collapsed: code effective_rank 1.3" in text
    assert not list(tmp_path.glob("*.json"))


def test_a_log_of_scalars_is_not_read_as_features(tmp_path: Path) -> None:
    _, content = report_on(lightning(low)(tmp_path), "ours")
    assert "features" not in content
    assert content["kind"] == "table"


def wide(write: Callable[[pa.Table, Path], None], name: str) -> Callable[[Path, str], Path]:
    def make(folder: Path, step: str) -> Path:
        known = {"val/z/effective_rank": list(map(low, STEPS))}
        known["val/z/feature_std_l2"] = [1.0] * len(STEPS)
        write(pa.table({step: list(STEPS), **known}), folder / name)
        return folder / name

    return make


WIDE = [
    wide(pq.write_table, "log.parquet"),
    wide(feather.write_feather, "log.feather"),
    wide(pa_csv.write_csv, "log.csv"),
    wide(lambda t, path: pa_csv.write_csv(t, path, pa_csv.WriteOptions(delimiter="\t")), "log.tsv"),
]


@pytest.mark.parametrize("make", WIDE)
@pytest.mark.parametrize("step", ["step", "global_step", "trainer/global_step", "iteration"])
def test_a_column_for_each_metric_is_a_log_in_every_format_of_a_table(
    make: Callable[[Path, str], Path], step: str, tmp_path: Path
) -> None:
    verdict = report_on(make(tmp_path, step), "ours")[1]["verdict"]
    assert (verdict["status"], verdict["since_step"]) == ("dimensional_collapse", 200)


def test_a_folder_of_folders_with_logs_is_one_line_that_names_one(tmp_path: Path) -> None:
    for version in ("version_0", "version_1"):
        (tmp_path / version).mkdir()
        lightning(low)(tmp_path / version)
    with pytest.raises(UserError, match=r"2 folders with logs; pass one, e.g. .*version_[01]$"):
        report_on(tmp_path, "ours")


@pytest.mark.parametrize("name", ["step", "epoch"])
def test_features_beside_a_column_of_steps_are_features(name: str, tmp_path: Path) -> None:
    z = np.random.default_rng(0).normal(size=(60, 8))
    names = ",".join([name, *(f"f{k}" for k in range(8))])
    rows = [",".join([str(i), *map(str, row)]) for i, row in enumerate(z)]
    _, content = report_on(table("z.csv", [names, *rows])(tmp_path), "ours")
    assert content["features"] == str(tmp_path / "z.csv")
    assert content["verdict"]["status"] == "healthy"


def test_values_that_are_not_finite_are_no_empty_cells(tmp_path: Path) -> None:
    path = lightning(lambda s: math.nan if s >= 300 else 20.0)(tmp_path)
    verdict = report_on(path, "ours")[1]["verdict"]
    assert (verdict["status"], verdict["tap"], verdict["since_step"]) == ("diverged", "code", 319)


def scalars(**columns: Callable[[int], object]) -> Callable[[Path], Path]:
    rows = (",".join(map(str, [s, *(value(s) for value in columns.values())])) for s in STEPS)
    return table("log.csv", [",".join(["step", *columns]), *rows])


NEEDED = "no tap to judge: val/<tap>/effective_rank and val/<tap>/feature_std_l2 are needed"


@pytest.mark.parametrize(
    ("make", "status", "since", "reason"),
    [
        (scalars(train_loss=lambda s: 1 / (1 + s)), "inconclusive", None, "train_loss 1 at step 0"),
        (
            scalars(train_loss=lambda s: "nan" if s >= 300 else 0.5, acc=lambda s: 0.1),
            "diverged",
            300,
            "train_loss is not finite",
        ),
        (scalars(loss=lambda s: 1.0 if s < 200 else 60.0), "diverged", 200, "loss 60, 1 at best"),
        (
            scalars(encoder_std=lambda s: 0.9 if s < 200 else 1e-4),
            "inconclusive",
            None,
            "encoder_std fell from 0.9 to 0.0001, at once at step 200",
        ),
        (
            scalars(rankme=lambda s: 30.0 - s / 14),
            "inconclusive",
            None,
            "rankme fell from 30 at step 0",
        ),
        (
            scalars(z_std=lambda s: 0.0, lr=lambda s: 0.1),
            "inconclusive",
            None,
            "z_std 0 at step 0, 0 at 380: all features alike",
        ),
        (
            table("log.csv", ["step,val/z/effective_rank", *(f"{s},9" for s in STEPS)]),
            "inconclusive",
            None,
            "val/z/effective_rank 9 at step 0, 9 at 380",
        ),
    ],
)
def test_a_log_without_taps_says_what_it_can(
    make: Callable[[Path], Path], status: str, since: int | None, reason: str, tmp_path: Path
) -> None:
    content = report_on(make(tmp_path), "ours")[1]
    verdict = content["verdict"]
    assert (verdict["status"], verdict["since_step"]) == (status, since)
    assert reason in verdict["line"]
    assert (NEEDED in verdict["line"]) is (status == "inconclusive")
    assert content["missing"]


def test_a_loss_that_stays_not_finite_is_diverged_although_the_last_validation_was_healthy(
    tmp_path: Path,
) -> None:
    names = "step,train/loss,val/code/effective_rank,val/code/feature_std_l2"
    rows = [
        f"{s},{'inf' if s >= 360 else 1.0},{20.0 if s < 350 else ''},{'1' if s < 350 else ''}"
        for s in STEPS
    ]
    verdict = report_on(table("log.csv", [names, *rows])(tmp_path), "ours")[1]["verdict"]
    assert verdict["line"].startswith("diverged since step 360: train/loss is not finite; code eff")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (scalars(lr=lambda s: 0.1, val_acc=lambda s: 0.5), f"{NEEDED}.*; it has lr, val_acc"),
        (
            table("e.csv", ['"Step","a - val/loss","b - val/loss"', *(f"{s},1,2" for s in STEPS)]),
            "2 runs, a, b; export one of them",
        ),
        (table("run-a.wandb", ["words"]), "not a file of W&B of a known version"),
    ],
)
def test_a_log_that_says_nothing_is_one_line(
    make: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        report_on(path, "ours")
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_missing_tensorboard_is_one_line_that_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in [name for name in sys.modules if name.startswith("tensorboard.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UserError, match=r"needs the package tensorboard, .* the extra tensorboard"):
        report_on(path, "ours")


def test_the_prefix_with_most_validations_is_judged_and_others_are_named(tmp_path: Path) -> None:
    columns = {
        f"{prefix}/z/{name}": rank
        for prefix, rank in (("test", lambda s: 1.0 if s == 380 else ""), ("eval", lambda s: 20.0))
        for name in ("effective_rank", "feature_std_l2")
    }
    text, content = report_on(scalars(**columns)(tmp_path), "ours")
    assert content["verdict"]["status"] == "healthy"
    assert "20 validations of z, steps 0 to 380, prefix eval; not judged: prefix test" in text


def test_epochs_are_no_reference_of_an_untrained_network_and_steps_are(tmp_path: Path) -> None:
    columns = {"val/z/effective_rank": lambda s: 1.2, "val/z/feature_std_l2": lambda s: 1.0}
    by_step = report_on(scalars(**columns)(tmp_path), "ours")[1]["verdict"]
    assert by_step["status"] == "low_rank"
    assert "low from the start" in by_step["line"]
    path = tmp_path / "log.csv"
    path.write_text(path.read_text().replace("step,", "epoch,").replace("0,1", ",1"))
    assert report_on(path, "ours")[1]["verdict"]["status"] == "dimensional_collapse"
