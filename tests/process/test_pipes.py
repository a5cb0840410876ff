"""Commands whose output pipe is closed by the reader."""

from __future__ import annotations

import os
import subprocess
import sys


def test_a_command_ends_quietly_if_the_reader_closes_the_pipe() -> None:
    read, write = os.pipe()
    os.close(read)
    code = (
        "from jepa_lab.process.command import ignore_broken_pipe\nwith ignore_broken_pipe():\n   "
        " print('x' * 100_000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
