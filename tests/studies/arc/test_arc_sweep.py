"""Tables of ARC sweeps have the study's columns and differences paired with the study's control."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from jepa_lab import check

Command = Callable[..., tuple[int, str, str]]
TINY = [
    "tier=smoke",
    "hardware=cpu",
    "hardware.threads=1",
    "preflight=off",
    "dataset.epochs=2",
    "dataset.batch_size=8",
    "dataset.train_tasks=40",
    "dataset.val_tasks=40",
    "dataset.test_tasks=32",
    "model.width=16",
    "model.heads=2",
    "model.depth=1",
    "model.hidden=16",
    "model.projection=8",
    "loss.queue=32",
    "vq.size=8",
]
SWEEP = ["-m", "+experiment=arc_sixth_run,arc_no_vq", "seed=0,1", *TINY]


def test_a_sweep_ends_with_the_study_columns_and_paired_differences(
    command: Command, tmp_path: Path
) -> None:
    code, out, err = command(*SWEEP)
    assert code == 0, err
    head = next(line for line in out.splitlines() if line.startswith("experiment"))
    assert (
        " ".join(head.split("state")[1].split())
        == "skill top 1 MRR codes rank z rank z_agg verdict"
    )
    assert "arc_sixth_run (control)" in out
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    content = json.loads((sweep / "paired.json").read_text())
    assert {row["metric"] for row in content["rows"]} == {"test/skill", "test/retrieval/mrr"}
    assert content["control"] == "arc_sixth_run"
    assert {row["difference"]["n"] for row in content["rows"] if not row["is_control"]} == {2}
    assert "++" not in out
    assert "codes " in err  # of the lines of the epochs
    assert "top 1 " in err
    again, table, _ = command(*SWEEP, main=check.main)
    assert again == 0
    assert table.count("done") == 5  # four jobs and the last line


def test_a_wrong_key_in_a_sweep_is_rejected_before_any_job(
    command: Command, tmp_path: Path
) -> None:
    code, _, err = command(*SWEEP, "dataset.train_task=40")
    assert code == 2
    assert "dataset.train_task: no such key; did you mean 'train_tasks'?" in err
    assert not list(tmp_path.rglob("metrics.parquet"))


def test_check_lists_the_runs_of_the_ladder_and_an_impossible_run(
    command: Command, tmp_path: Path
) -> None:
    line = [
        "+experiment=arc_jepa",
        "tier=ladder",
        "hardware=cpu",
        *(w for w in TINY if w.startswith(("model", "vq"))),
    ]
    code, out, err = command(*line, main=check.main)
    assert code == 0, err
    assert "1 to do" in out
    assert "training, " in out
    code, _, err = command(*line, "vq.size=200000", main=check.main)
    assert code == 2
    assert "vq.size=200000: more codes than" in err
    assert not list(tmp_path.rglob("config.yaml"))
