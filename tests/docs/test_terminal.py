"""How shown and printed text is compared. The examples themselves run in test_examples.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from doc_pages import blocks
from jepa_lab import diagnose
from terminal import difference, shown_outputs

SHOWN = [
    (block.page, command, output)
    for block in blocks("console")
    for command, output in shown_outputs(block.text).items()
]


@pytest.mark.parametrize(
    ("shown", "printed", "first"),
    [
        ("a 1.0\nb 2", "a 1.05\n\nb 2", ""),
        ("a 1.0", "a 2.0", "a 1.0"),
        ("b 2\na 1.0", "a 1.0\nb 2", "a 1.0"),
        ("healthy: rank 9.7", "low_rank: rank 9.7", "healthy: rank 9.7"),
        ("spread 0.000277", "spread 2.9e-04", ""),
        ("a 1,797", "a 1797", ""),
    ],
)
def test_numbers_may_differ_a_little_and_words_and_order_may_not(
    shown: str, printed: str, first: str
) -> None:
    assert difference(shown, printed) == first


def test_every_shown_command_is_one_that_a_test_runs() -> None:
    assert {command.split()[-1] for _, command, _ in SHOWN} == {
        "examples/plain_loop.py",
        "--collapse",
        "features.npz",
    }
    assert all(output for _, _, output in SHOWN)


def test_the_shown_verdict_on_a_file_is_what_diagnose_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = load_digits()
    weights = np.random.default_rng(0).normal(size=(64, 32))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["jepa_lab"])
    np.savez("features.npz", z=digits.data / 16 @ weights, labels=digits.target)
    diagnose.main(["features.npz"])
    (shown,) = [output for _, command, output in SHOWN if command.endswith("features.npz")]
    assert difference(shown, capsys.readouterr().out) == ""
