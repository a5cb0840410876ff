"""The benchmark of accelerators is complete before there is one: it runs on a CPU at tiny sizes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu

ROWS = {"views": 2, "training": 2, "shares": 4, "epoch": 1, "toy": 2, "seeds": 3}


def test_every_part_of_the_benchmark_gives_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu.main(["--tiny", "--json", str(tmp_path / "table.json")])
    table = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert {part: len(rows) for part, rows in table.items()} == ROWS
    shown = capsys.readouterr().out
    for rows in table.values():
        for row, value in rows.items():
            assert row in shown
            assert re.search(r"\d", value), f"{row}: {value}"
    assert re.search(r"runs +4 steps [\d.]+ s, [\d,]+ run-steps/s; built in [\d.]+ s", shown)
