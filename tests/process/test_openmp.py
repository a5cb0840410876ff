"""How OpenMP's threads wait: asleep in our commands, as it was in the programs of others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jepa_lab.process.openmp import NAME, let_threads_sleep


@pytest.mark.parametrize(
    ("command", "before", "after"),
    [(True, None, "PASSIVE"), (True, "ACTIVE", "ACTIVE"), (False, None, None)],
)
def test_a_command_lets_its_threads_sleep_unless_the_variable_is_set(
    command: bool, before: str | None, after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NAME, raising=False)
    if before is not None:
        monkeypatch.setenv(NAME, before)
    let_threads_sleep(command)
    assert os.environ.get(NAME) == after
    monkeypatch.delenv(NAME, raising=False)


def test_importing_the_package_changes_no_policy_and_no_torch() -> None:
    code = (
        "import jepa_lab, os, sys; print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"
    )
    env = {k: v for k, v in os.environ.items() if k != NAME}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["None", "False"]
