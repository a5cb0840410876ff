"""Commands whose reader has left the pipe."""

from __future__ import annotations

import os
import subprocess
import sys


def test_a_reader_that_leaves_ends_a_command_without_a_word() -> None:
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
