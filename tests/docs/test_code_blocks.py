"""The Python code on README and the pages of docs/ runs, and what pages show of a terminal is what
the programs print."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from doc_pages import Block, blocks
from jepa_lab import Monitor

# pages whose code is written to files or needs a library that is optional, and their tests
ELSEWHERE = ("docs/adding_a_loss.md", "docs/extending.md", "docs/examples.md", "docs/monitor.md")
CODE = [
    block
    for block in blocks("python")
    if block.page not in ELSEWHERE and "hf_trainer" not in block.text
]
VERDICTS = ("README.md", "docs/start.md", "docs/your_model.md")


def names() -> dict[str, object]:
    """Returns the variables that the code on a page takes for granted."""
    z = torch.randn(256, 16, generator=torch.Generator().manual_seed(0))
    rows = {"features": z.numpy(), "labels": np.arange(256) % 10}
    noise = torch.randn(256, 16, generator=torch.Generator().manual_seed(1))
    views = {"z1": z, "z2": z + 0.5 * noise, "torch": torch}
    return {"step": 0, "h": z, "z": z, **views, "loss": torch.ones(()), **rows}


@pytest.mark.parametrize("block", CODE, ids=lambda block: f"{block.page}:{block.text[:30]!r}")
def test_the_code_of_a_page_runs(
    block: Block,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, block.page, "exec"), names())
    printed = capsys.readouterr().out
    if "verdict()" in block.text:
        assert printed.startswith("verdict: healthy: backbone")
        assert Path("collapse.parquet").is_file()
    elif "diagnose_features" in block.text:
        assert printed.startswith("healthy of z")


def test_there_is_code_on_the_pages_that_a_newcomer_reads() -> None:
    assert {block.page for block in CODE} >= set(VERDICTS)


def test_the_monitor_of_the_readme_is_the_one_that_is_tested() -> None:
    (code,) = [block.text for block in CODE if block.page == "README.md"]
    assert "from jepa_lab import Monitor" in code
    assert callable(Monitor)
