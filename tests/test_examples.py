"""The examples of other people's training code run, healthy and collapsed, and get the right
verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from conftest import ROOT
from doc_pages import blocks
from jepa_lab.config.statuses import COLLAPSES, PASSES
from terminal import difference, shown_outputs

FOLDER = ROOT / "examples"
NEEDS = {
    "plain_loop": "torch",
    "features_from_disk": "torch",
    "foreign_monitor": "pytorch_lightning",
    "lightly_simsiam": "lightly",
    "stable_pretraining_vicreg": "stable_pretraining",
    "hf_trainer": "transformers",
}


def test_every_example_is_run_here_and_is_short() -> None:
    files = {path.stem: path for path in FOLDER.glob("*.py")}
    assert set(files) == set(NEEDS)
    lines = {name: len(path.read_text().splitlines()) for name, path in files.items()}
    assert {name: n for name, n in lines.items() if n >= 40} == {"foreign_monitor": 69}


@pytest.mark.slow
@pytest.mark.parametrize("collapse", [False, True], ids=["healthy", "collapsed"])
@pytest.mark.parametrize("name", sorted(NEEDS))
def test_the_example_ends_with_the_right_verdict(name: str, collapse: bool) -> None:
    if find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed (the extra examples)")
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *(["--collapse"] if collapse else [])],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    words = done.stdout.replace(":", " ").split()
    expected = COLLAPSES if collapse else PASSES
    first = next(word for word in words if word in {*COLLAPSES, *PASSES, "inconclusive"})
    assert first in expected, done.stdout
    command = f"python examples/{name}.py{' --collapse' if collapse else ''}"
    for block in blocks("console"):  # pages show what the program prints
        shown = shown_outputs(block.text).get(command, "")
        assert difference(shown, done.stdout) == "", (block.page, command)
