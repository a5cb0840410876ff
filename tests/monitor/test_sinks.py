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
    del first  # and with it its lock, as a killed process would
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
    rows = [{**values, "monitor/step": step} for step, values in calls]
    assert run.rows == [(row, True) for row in rows]  # a row that waits would lose earlier ones
    assert [(key, step) for key, _, step in writer.seen] == [(k, s) for s, v in calls for k in v]
    assert calls[0][1]["val/z/effective_rank"] == history["val/z/effective_rank"][0][1]
    assert not any(key.startswith("train/loss/") for key in calls[0][1])


def test_two_monitors_on_one_file_write_two_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (Monitor(every=5, n=None, sink=tmp_path / "c.parquet") for _ in range(2))
    for step in range(20):
        one.update(step, {"a": torch.randn(64, 8)})
        two.update(step, {"b": torch.randn(64, 8)})
    taps = [
        {key.split("/")[1] for key in history_of(pq.read_table(tmp_path / name))}
        for name in ("c.parquet", "c.1.parquet")
    ]
    assert taps == [{"a"}, {"b"}]
    assert "another monitor writes to it" in capsys.readouterr().err


def test_a_file_of_another_run_is_kept_when_a_checkpoint_is_resumed(tmp_path: Path) -> None:
    state = trained(tmp_path / "mine.parquet").state_dict()
    trained(tmp_path / "other.parquet", range(20)).verdict()
    before = (tmp_path / "other.parquet").read_bytes()
    resumed = Monitor(every=10, n=64, sink=tmp_path / "other.parquet")
    resumed.load_state_dict(state)
    resumed.update(60, {"z": torch.randn(64, 8)})
    assert before in [p.read_bytes() for p in tmp_path.glob("other*.parquet")]


def test_a_sink_that_fails_gets_one_line_and_the_training_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(step: int, values: object) -> None:
        raise OSError("no space left")

    monitor = trained(broken)
    assert monitor.verdict().status == "healthy"
    assert capsys.readouterr().err.count("the sink failed and gets no more values") == 1


def test_a_checkpoint_is_plain_data(tmp_path: Path) -> None:
    torch.save(trained(tmp_path / "c.parquet").state_dict(), tmp_path / "state.pt")
    Monitor().load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    with pytest.raises(ValueError, match="not the state of a Monitor"):
        Monitor().load_state_dict({})


def test_a_sink_of_another_kind_is_refused(tmp_path: Path) -> None:
    class Logger:
        def log(self, level: int, text: str) -> None: ...

    with pytest.raises(TypeError, match="its log is not that of a W&B run"):
        Monitor(sink=Logger())
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(ValueError, match="a folder of that name"):
        Monitor(sink=tmp_path / "folder.parquet")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written to"):
        Monitor(sink=tmp_path / "file" / "c.parquet")
    with pytest.raises(TypeError, match="sink=3: expected a path"):
        Monitor(sink=3)
    with pytest.raises(ValueError, match=r"ends in \.parquet"):
        Monitor(sink="collapse.csv")
