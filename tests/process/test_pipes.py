"""Commands whose output pipe is closed by the reader."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jepa_lab.process.output import PatientOutput, patient_output


def with_closed_pipe(*arguments: str) -> tuple[int, str]:
    """Returns the exit code and stderr of Python with these arguments, without a reader."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, *arguments], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    return done.returncode, done.stderr


def test_a_command_ends_quietly_if_the_reader_closes_the_pipe() -> None:
    code = (
        "from jepa_lab.process.command import run_command\nrun_command(lambda: print('x' *"
        " 100_000))"
    )
    assert with_closed_pipe("-c", code) == (0, "")


def test_help_ends_quietly_too_although_it_exits_by_itself() -> None:
    assert with_closed_pipe("-m", "jepa_lab.report", "--help") == (0, "")


def test_output_without_a_reader_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with patient_output():
            print("epoch 1", flush=True)
            print("epoch 2", flush=True)
            assert isinstance(sys.stdout, PatientOutput)
        assert sys.stdout is stream


def test_a_closed_stdout_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with patient_output():
        print("nothing")
