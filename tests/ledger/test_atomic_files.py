import json
import os
from pathlib import Path

import numpy as np
import pytest

from jepa_lab.ledger import atomic
from jepa_lab.ledger.atomic import (
    remove_leftovers,
    replace_file,
    temporary_beside,
    write_atomic,
    write_json,
)
from jepa_lab.ledger.staging import require_writable


def strict(text: str) -> object:
    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_text_and_bytes_are_written_unchanged(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "Größe\n")
    write_atomic(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "a").read_bytes() == "Größe\n".encode()
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_failed_rename_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "status.json"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("status.json", "old")]


def test_the_temporary_file_is_hidden_in_the_folder_of_the_target(tmp_path: Path) -> None:
    tmp = temporary_beside(tmp_path / "x.json")
    assert tmp.parent == tmp_path
    assert tmp.match(".x.json.*.tmp")
    assert tmp != temporary_beside(tmp_path / "x.json")


def test_the_content_is_synced_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b))[1])
    (tmp_path / "t").write_text("new")
    replace_file(tmp_path / "t", tmp_path / "x")
    assert calls[:2] == ["fsync", "replace"]
    assert (tmp_path / "x").read_text() == "new"


def test_not_finite_numbers_become_null_at_any_depth(tmp_path: Path) -> None:
    obj = {
        "a": float("nan"),
        "b": [1.5, float("inf"), {"c": np.float64("-inf")}],
        "d": np.array([1.0, np.nan]),
    }
    write_json(tmp_path / "x.json", obj)
    assert strict((tmp_path / "x.json").read_text()) == {
        "a": None,
        "b": [1.5, None, {"c": None}],
        "d": [1.0, None],
    }


def test_json_keeps_the_order_of_keys_and_the_types_of_scalars(tmp_path: Path) -> None:
    obj = {"z": True, "a": np.int64(3), "m": Path("runs") / "x", "n": None, "t": (1, 2)}
    write_json(tmp_path / "x.json", obj)
    text = (tmp_path / "x.json").read_text()
    assert list(json.loads(text).items()) == [
        ("z", True),
        ("a", 3),
        ("m", "runs/x"),
        ("n", None),
        ("t", [1, 2]),
    ]


def test_an_object_that_is_not_json_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_rename_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "status.json"
    path.write_text("old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("status.json", "old")]


def test_temporary_files_of_killed_writers_of_this_host_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = 2**22 + 1  # above the largest process id of Linux
    monkeypatch.setattr(os, "getpid", lambda: gone)
    mine, deep = (temporary_beside(p) for p in (tmp_path / "a.png", tmp_path / "sub" / "b.json"))
    monkeypatch.setattr(atomic, "HOST", "zzzz")
    other_host = temporary_beside(tmp_path / "a.png")
    monkeypatch.undo()
    running = temporary_beside(tmp_path / "a.png")
    foreign = tmp_path / ".notes.12-draft.tmp"
    (tmp_path / "sub").mkdir()
    for path in (mine, deep, other_host, running, foreign):
        path.write_text("x")
    require_writable(tmp_path)
    assert not mine.exists()
    assert all(p.exists() for p in (deep, other_host, running, foreign))
    remove_leftovers(tmp_path, deep=True)
    assert not deep.exists()
    assert all(p.exists() for p in (other_host, running, foreign))
