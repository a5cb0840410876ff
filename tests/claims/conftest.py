"""Runs that the tests of claims share."""

from __future__ import annotations

import pytest
from claim_files import NOISE

from comparison_runs import make_run
from jepa_lab.report.comparison import Run, read_run


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Six seeds each of plain, better (+.1), same (with noise of its own) and worse (-.1)."""
    root = tmp_path_factory.mktemp("runs")
    for seed in range(6):
        make_run(root, "plain", seed, 0.80 + 0.01 * seed)
        make_run(root, "better", seed, 0.90 + 0.01 * seed + NOISE[seed])
        make_run(root, "same", seed, 0.80 + 0.01 * seed + NOISE[-seed])
        make_run(root, "worse", seed, 0.70 + 0.01 * seed + NOISE[seed], verdict="complete_collapse")
    return [read_run(path.parent) for path in sorted(root.glob("*/*/config.yaml"))]
