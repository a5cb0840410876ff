"""A run that is killed with SIGKILL at any moment and resumed ends with the same bits and the same
rows."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from killed_runs import OVERRIDES, POINTS, difference, finish, start, state_of

KILLS = int(os.environ.get("JEPA_LAB_KILLS", "3"))  # random moments; a long check uses 30


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    finish(folder / "warm", OVERRIDES)  # starts the process server, so that it is not timed below
    begin = time.monotonic()
    state = state_of(finish(folder, OVERRIDES))
    return state, time.monotonic() - begin


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_at_a_named_point_ends_with_the_same_bits(
    point: str, uninterrupted: tuple[dict[str, Any], float], tmp_path: Path
) -> None:
    nth = {"a training batch": 9, "between the optimiser step and the target's average": 5}.get(
        point, 2
    )
    nth = (
        1 if point in ("the reference pass", "the test pass", "the figures", "the summary") else nth
    )
    killed = start(tmp_path, OVERRIDES, point, nth)
    killed.join()
    assert killed.exitcode == -9, "the point was never visited"
    assert difference(state_of(finish(tmp_path, OVERRIDES)), uninterrupted[0]) is None


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_run_killed_at_a_random_moment_ends_with_the_same_bits(
    seed: int, uninterrupted: tuple[dict[str, Any], float], tmp_path: Path
) -> None:
    expected, seconds = uninterrupted
    process = start(tmp_path, OVERRIDES)
    process.join(random.Random(seed).uniform(0.1, 0.95) * seconds)
    process.kill()
    process.join()
    assert difference(state_of(finish(tmp_path, OVERRIDES)), expected) is None


def test_a_run_killed_three_times_ends_with_the_same_bits(
    uninterrupted: tuple[dict[str, Any], float], tmp_path: Path
) -> None:
    for nth in (3, 4, 2):  # each kill is this many optimiser steps later
        killed = start(
            tmp_path, OVERRIDES, "between the optimiser step and the target's average", nth
        )
        killed.join()
        assert killed.exitcode == -9
    assert difference(state_of(finish(tmp_path, OVERRIDES)), uninterrupted[0]) is None


def test_the_run_has_a_teacher_probes_and_random_state_to_restore(
    uninterrupted: tuple[dict[str, Any], float],
) -> None:
    checkpoint = uninterrupted[0]["checkpoint"]
    assert any(k.startswith("target_encoder.") for k in checkpoint["state_dict"])
    assert {"OnlineProbes", "RandomState", "Saver", "FiniteGuard"} <= checkpoint["callbacks"].keys()
    assert checkpoint["global_step"] == 9
