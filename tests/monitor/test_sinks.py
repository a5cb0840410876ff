"""Where the values go: a file that diagnose reads, loggers of others, and functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from jepa_lab import Monitor
from jepa_lab.ledger.parquet import history_of


def trained(sink: Any, steps: range = range(50), **options: Any) -> Monitor:
    monitor = Monitor(every=10, n=64, sink=sink, **options)
    for step in steps:
        z = torch.randn(64, 8, generator=torch.Generator().manual_seed(step))
        monitor.update(step, {"z": z}, loss=1.0 / (step + 1))
    return monitor


def test_the_file_holds_the_history_of_the_verdict(tmp_path: Path) -> None:
    monitor = trained(tmp_path / "new" / "collapse.parquet")
    monitor.verdict()
    stored = history_of(pq.read_table(tmp_path / "new" / "collapse.parquet"))
    expected = {k: p for k, p in monitor.history.items() if not k.startswith("reference/")}
    assert stored == expected


def test_the_file_of_an_earlier_run_is_kept_under_another_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.parquet"
    trained(path).verdict()
    before = path.read_bytes()
    trained(path, range(20)).verdict()
    assert (tmp_path / "c.1.parquet").read_bytes() == before
    assert "the file of an earlier run is now c.1.parquet" in capsys.readouterr().err


def test_a_resumed_run_continues_its_file(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole.parquet")
    whole.verdict()
    first = trained(tmp_path / "part.parquet", range(25))
    state = first.state_dict()
    for step in range(25, 40):  # after the checkpoint, lost by the kill
        first.update(step, {"z": torch.ones(64, 8)}, loss=9.0)
    second = Monitor(every=10, n=64, sink=tmp_path / "part.parquet")
    second.load_state_dict(state)
    for step in range(25, 50):
        z = torch.randn(64, 8, generator=torch.Generator().manual_seed(step))
        second.update(step, {"z": z}, loss=1.0 / (step + 1))
    second.verdict()
    tables = [history_of(pq.read_table(tmp_path / f"{n}.parquet")) for n in ("whole", "part")]
    assert tables[0]["train/loss/total"] == tables[1]["train/loss/total"]
    assert list(tables[0]) == list(tables[1])


def test_a_writer_a_run_and_a_function_get_the_measured_values_alone() -> None:
    class Writer:
        def __init__(self) -> None:
            self.seen: list[tuple[str, float, int]] = []

        def add_scalar(self, key: str, value: float, step: int) -> None:
            self.seen.append((key, value, step))

    class Run:
        def __init__(self) -> None:
            self.rows: list[tuple[dict[str, float], bool]] = []

        def log(self, values: dict[str, float], commit: bool) -> None:
            self.rows.append((values, commit))

    writer, run, calls = Writer(), Run(), []
    history = trained(writer).history
    trained(run)
    trained(lambda step, values: calls.append((step, dict(values))))
    assert [step for step, _ in calls] == [0, 10, 20, 30, 40]
    assert [values for values, commit in run.rows if not commit] == [v for _, v in calls]
    assert [(key, step) for key, _, step in writer.seen] == [(k, s) for s, v in calls for k in v]
    assert calls[0][1]["val/z/effective_rank"] == history["val/z/effective_rank"][0][1]
    assert not any(key.startswith("train/loss/") for key in calls[0][1])


def test_a_sink_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="sink=3: expected a path"):
        Monitor(sink=3)
    with pytest.raises(ValueError, match=r"ends in \.parquet"):
        Monitor(sink="collapse.csv")
