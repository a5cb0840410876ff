"""The ring keeps states at growing distances, within its number and its megabytes."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from jepa_lab.callbacks.state_ring import StateRing, remove_ring, states_in


def filled(folder: Path, steps: list[int], most: int = 8, megabytes: float = 1.0) -> StateRing:
    ring = StateRing(folder / "ring", most, megabytes)
    for step in steps:
        (folder / "last.ckpt").unlink(missing_ok=True)
        (folder / "last.ckpt").write_bytes(b"x" * 1000)
        ring.add(step, folder / "last.ckpt")
    return ring


def steps_of(ring: StateRing) -> list[int]:
    return [state.step for state in ring.states()]


def test_few_states_are_all_kept(tmp_path: Path) -> None:
    assert steps_of(filled(tmp_path, [10, 20, 30])) == [10, 20, 30]


def test_distances_grow_with_the_age_of_a_state(tmp_path: Path) -> None:
    steps = steps_of(filled(tmp_path, list(range(10, 2010, 10))))
    assert len(steps) == 8
    assert steps[-2:] == [1990, 2000]
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    assert gaps == sorted(gaps, reverse=True)
    assert steps[0] < 1000


def test_the_megabytes_limit_the_number_and_the_newest_stays(tmp_path: Path) -> None:
    assert steps_of(filled(tmp_path, [1, 2, 3, 4], megabytes=0.0025))[-1] == 4
    assert len(steps_of(filled(tmp_path, [1, 2, 3, 4], megabytes=0.0025))) == 2


@pytest.mark.parametrize(("most", "megabytes"), [(0, 1.0), (8, 0.0005)])
def test_a_state_beyond_the_limit_is_not_kept(tmp_path: Path, most: int, megabytes: float) -> None:
    assert steps_of(filled(tmp_path, [1, 2], most, megabytes)) == []


def test_a_state_takes_no_space_of_its_own_and_survives_the_original(tmp_path: Path) -> None:
    ring = filled(tmp_path, [7])
    (state,) = ring.states()
    assert os.stat(state.path).st_ino == os.stat(tmp_path / "last.ckpt").st_ino
    (tmp_path / "last.ckpt").unlink()
    assert state.path.read_bytes() == b"x" * 1000


def test_without_hard_links_a_state_is_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    (state,) = filled(tmp_path, [7]).states()
    assert state.path.read_bytes() == b"x" * 1000
    assert os.stat(state.path).st_ino != os.stat(tmp_path / "last.ckpt").st_ino


def test_pinned_states_outlast_the_others(tmp_path: Path) -> None:
    ring = filled(tmp_path, [10, 20, 30, 40])
    ring.pin()
    for step in range(50, 2000, 10):
        ring.add(step, tmp_path / "last.ckpt")
    pinned = [state.step for state in ring.states() if state.pinned]
    assert pinned == [20, 30, 40]
    ring.pin()
    assert [state.step for state in ring.states() if state.pinned] == pinned


def test_a_removed_ring_leaves_files_of_others(tmp_path: Path) -> None:
    ring = filled(tmp_path, [1, 2])
    (tmp_path / "ring" / "notes.txt").write_text("mine")
    remove_ring(tmp_path / "ring")
    assert states_in(ring.folder) == []
    assert (tmp_path / "ring" / "notes.txt").exists()
