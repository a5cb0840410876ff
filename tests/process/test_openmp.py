"""How OpenMP's threads wait: asleep in our commands, as it was in the programs of others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jepa_lab.process.openmp import POLICY, SHORT, SPINS, let_threads_sleep


@pytest.mark.parametrize(
    ("command", "before", "after"),
    [
        (True, {}, {POLICY: "PASSIVE", SPINS: SHORT}),
        (True, {POLICY: "ACTIVE"}, {POLICY: "ACTIVE"}),
        (True, {SPINS: "7"}, {SPINS: "7"}),
        (False, {}, {}),
    ],
)
def test_a_command_lets_its_threads_sleep_unless_a_variable_is_set(
    command: bool, before: dict[str, str], after: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {key: value for key, value in os.environ.items() if key not in (POLICY, SPINS)}
    monkeypatch.setattr(os, "environ", {**others, **before})
    let_threads_sleep(command)
    assert {key: os.environ[key] for key in (POLICY, SPINS) if key in os.environ} == after


def test_importing_the_package_changes_no_policy_and_no_torch() -> None:
    code = (
        "import jepa_lab, os, sys; print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"
    )
    env = {k: v for k, v in os.environ.items() if k not in (POLICY, SPINS)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["None", "False"]
