"""docs/monitor.md names what is there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch

from conftest import ROOT
from jepa_lab import Monitor
from jepa_lab.monitor.features import DIMENSIONS

PAGE = (ROOT / "docs" / "monitor.md").read_text(encoding="utf-8")


def test_every_argument_of_the_table_is_one_of_the_monitor_with_its_default() -> None:
    parameters = inspect.signature(Monitor).parameters
    rows = re.findall(r"^\| `(\w+)=(.+?)` \|", PAGE, flags=re.MULTILINE)
    assert {name for name, _ in rows} == set(parameters) - {"metrics", "prefix"}
    for name, value in rows:
        if name in ("every", "n", "sink", "ranks"):
            assert repr(parameters[name].default) == value


def test_every_role_is_in_the_table() -> None:
    assert re.findall(r"^\| `(\w+)`[^|]*\| \(n", PAGE, flags=re.MULTILINE) == list(DIMENSIONS)


def test_the_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    step = (torch.randn(256, 16), torch.randn(256, 8), torch.ones(()))
    exec(code[1], {"loader": range(10), "train_step": lambda batch: step})
    assert capsys.readouterr().out.startswith("verdict: healthy: backbone")
    assert (tmp_path / "collapse.parquet").is_file()
