"""MPLBACKEND of a notebook must not keep matplotlib from being imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jepa_lab.process.plot_backend import NAME, make_importable

MISSING = "module://no_such_package.backend_inline"


@pytest.mark.parametrize(
    ("backend", "command", "after"),
    [
        (MISSING, True, "agg"),
        ("TkAgg", True, "agg"),
        ("no backend at all", True, "agg"),
        (MISSING, False, None),
        ("module://no_such_module", False, None),
        ("module://", False, None),
        ("module://matplotlib.backends.backend_svg", False, "same"),
        ("TkAgg", False, "same"),
        ("", True, "same"),
    ],
)
def test_a_backend_that_cannot_be_loaded_is_replaced(
    monkeypatch: pytest.MonkeyPatch, backend: str, command: bool, after: str | None
) -> None:
    monkeypatch.setenv(NAME, backend)
    make_importable(command)
    assert os.environ.get(NAME) == (backend if after == "same" else after)


def test_without_the_variable_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    make_importable(True)
    assert NAME not in os.environ


def test_figures_are_importable_in_a_shell_of_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, MISSING)
    code = "import jepa_lab.report.figures, matplotlib.pyplot"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
