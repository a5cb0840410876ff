"""The commit in the record of a run: that of the package, not of the folder that it lies in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import jepa_lab
from jepa_lab.ledger.commit import commit, of_checkout

NAMED = ["-c", "user.name=a", "-c", "user.email=a@b"]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_checkout_has_its_commit_and_says_whether_it_was_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, *NAMED, "commit", "-qm", "one")
    head = git(tmp_path, "rev-parse", "HEAD")[:12]
    assert of_checkout(tmp_path) == head
    (tmp_path / "a").write_text("2")
    assert of_checkout(tmp_path) == f"{head}-dirty"


def test_a_folder_without_a_repository_has_no_commit(tmp_path: Path) -> None:
    assert of_checkout(tmp_path) is None


def test_a_package_inside_a_repository_of_the_user_does_not_take_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, *NAMED, "commit", "-qm", "mine", "--allow-empty")
    inside = tmp_path / "lib" / "site-packages" / "jepa_lab" / "__init__.py"
    monkeypatch.setattr(jepa_lab, "__file__", str(inside))
    commit.cache_clear()
    found = commit()
    commit.cache_clear()
    assert found is None
