"""Ctrl-C and SIGTERM end a command with one line and the exit code of the signal."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from jepa_lab.__main__ import main
from jepa_lab.cli import app
from jepa_lab.process import child, early
from jepa_lab.process.alive import process_lives
from jepa_lab.process.command import RESUMES, run_command
from jepa_lab.process.signals import ending_on_signals

ENDS = [(signal.SIGINT, 130, "stopped (Ctrl-C)"), (signal.SIGTERM, 143, "stopped (SIGTERM)")]


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    """Gives every test the handlers of a fresh process, whatever starts the tests."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> NoReturn:
    os.kill(os.getpid(), number)
    pytest.fail("the signal raised nothing")


@pytest.mark.parametrize(("number", "code", "line"), ENDS, ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("hint", ["", RESUMES])
def test_a_signal_ends_a_command_with_one_line(
    number: int, code: int, line: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: send(number), hint)
    assert ended.value.code == code
    assert capsys.readouterr().err == f"{line}{hint}\n"


@pytest.mark.parametrize(("number", "code", "line"), ENDS, ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_counts_if_an_import_replaces_its_exception(
    number: int, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        try:
            send(number)
        except BaseException:
            raise ImportError("numpy failed to import") from None

    with pytest.raises(SystemExit) as ended:
        run_command(work)
    assert (ended.value.code, capsys.readouterr().err) == (code, f"{line}\n")


def test_a_second_signal_ends_the_process_at_once() -> None:
    handlers = []

    def work() -> None:
        try:
            send(signal.SIGTERM)
        finally:
            handlers.extend(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)))

    with pytest.raises(SystemExit):
        run_command(work)
    assert handlers == [signal.SIG_DFL, signal.SIG_DFL]


def test_handlers_are_restored_and_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ending_on_signals():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(("number", "code", "line"), ENDS, ids=["Ctrl-C", "SIGTERM"])
def test_a_command_within_a_command_prints_the_line_once(
    number: int, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: run_command(lambda: send(number)))
    assert (ended.value.code, capsys.readouterr().err) == (code, f"{line}\n")


@pytest.mark.parametrize(
    ("argv", "starts"),
    [
        (["python", "-m", "jepa_lab", "--help"], True),
        (["python", "-u", "-m", "jepa_lab.evaluate", "runs"], True),
        (["python", "/venv/bin/jepa-lab", "check"], True),
        (["python", "-m", "pytest", "tests"], False),
        (["python", "-c", "import jepa_lab"], False),
        (["python", "-m", "joblib.externals.loky.backend.popen_loky_posix"], False),
        (["python"], False),
    ],
)
def test_only_a_command_of_jepa_lab_ends_quietly_during_its_imports(
    argv: list[str], starts: bool
) -> None:
    assert early.starts_a_command(argv) is starts


@pytest.mark.parametrize(("number", "code", "line"), ENDS, ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_during_the_imports_of_a_command_prints_one_line(
    number: int, code: int, line: str
) -> None:
    script = (
        "import os, sys; sys.orig_argv = ['python', '-m', 'jepa_lab.evaluate'];"
        f" import jepa_lab; os.kill(os.getpid(), {int(number)}); print('went on')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"{line}\n")


def test_sigterm_while_hydra_works_prints_the_line(
    monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.setattr(app, "one_job", lambda cfg, own: send(signal.SIGTERM))
    code, _, err = command("+experiment=teacherless_b", main=main)
    assert (code, err) == (143, f"stopped (SIGTERM){RESUMES}\n")


def test_no_import_delays_the_first_handlers() -> None:
    script = (
        f"import os, sys; before = set(sys.modules); exec(open({early.__file__!r}).read());"
        " print(*sorted(set(sys.modules) - before))"
    )
    # -S: without site, whose .pth files import modules of their own; it always imports os
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "__future__\n"), done.stderr


def test_an_interrupted_command_waits_until_its_child_has_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    class Interrupted:
        def __init__(self, command: list[str], **options: object) -> None: ...

        def __enter__(self) -> Interrupted:
            return self

        def __exit__(self, *error: object) -> None: ...

        def wait(self) -> int:
            calls.append("wait")
            if len(calls) == 1:
                raise KeyboardInterrupt
            return 0

        def terminate(self) -> None:
            calls.append("terminate")

    monkeypatch.setattr(child.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        child.run_child(["python"])
    assert calls == ["wait", "terminate", "wait"]


def test_the_exit_code_of_a_child_is_returned() -> None:
    assert child.run_child([sys.executable, "-c", "raise SystemExit(3)"]) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_a_child_stops_if_its_command_is_killed() -> None:
    read, write = os.pipe()
    report = f"import os, time; os.write({write}, str(os.getpid()).encode()); time.sleep(60)"
    parent = os.fork()
    if parent == 0:
        os.set_inheritable(write, True)
        with_pipe = functools.partial(subprocess.Popen, close_fds=False)
        child.subprocess.Popen = with_pipe  # type: ignore[misc, assignment]
        child.run_child([sys.executable, "-I", "-S", "-c", report])
        os._exit(0)
    grandchild = int(os.read(read, 20))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    deadline = time.monotonic() + 10
    while process_lives(grandchild) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = process_lives(grandchild)
    if left:
        os.kill(grandchild, signal.SIGKILL)
    assert not left
