"""Output whose encoding lacks some characters."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from jepa_lab.process.output import replace_unprintable

ASCII = ({"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "ascii:surrogateescape"})
LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize("variables", [*ASCII, LOCALE], ids=["strict", "escape", "locale"])
def test_a_character_that_the_output_lacks_is_replaced(variables: dict[str, str]) -> None:
    code = (
        "from jepa_lab.process.command import run_command\n"
        "run_command(lambda: print('R\\u00b2 of \\udcff'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "R? of ?\n", "")


def test_streams_of_a_notebook_and_closed_ones_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    replace_unprintable()
    print("R²")
    assert stream.getvalue() == "R²\n"
