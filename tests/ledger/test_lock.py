"""Only one process trains a run, and the lock of a dead process does not count."""

import multiprocessing
import multiprocessing.process
import multiprocessing.synchronize
import os
import signal
from pathlib import Path

import pytest

from jepa_lab.errors import RunBusy
from jepa_lab.ledger.lock import lock
from jepa_lab.ledger.run_dir import RunDir


def hold(folder: str, ready: multiprocessing.synchronize.Event, die: bool) -> None:
    run = RunDir(folder, "e", "r").make()
    with lock(run):
        run.write_status("running")
        ready.set()
        if die:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()


def held(folder: Path, die: bool = False) -> tuple[multiprocessing.process.BaseProcess, RunDir]:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(str(folder), ready, die))
    process.start()
    assert ready.wait(60)
    return process, RunDir(folder, "e", "r")


def test_a_second_process_gets_an_error_that_names_the_holder_of_the_lock(tmp_path: Path) -> None:
    process, run = held(tmp_path)
    try:
        with (
            pytest.raises(RunBusy, match=f"process {process.pid} on .* is working on this run"),
            lock(run),
        ):
            pass
        assert run.state() == "running"
    finally:
        process.kill()
        process.join()


def test_the_lock_of_a_killed_process_is_stale(tmp_path: Path) -> None:
    process, run = held(tmp_path, die=True)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert run.state() == "killed"
    with lock(run):
        pass


def test_the_same_process_can_take_the_lock_again_only_after_release(tmp_path: Path) -> None:
    run = RunDir(tmp_path, "e", "r").make()
    with lock(run), pytest.raises(RunBusy), lock(run):
        pass
    with lock(run):
        pass


def test_without_file_locks_the_process_in_status_json_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(self: object) -> None:
        raise NotImplementedError

    run = RunDir(tmp_path, "e", "r").make()
    monkeypatch.setattr("jepa_lab.ledger.lock.FileLock.acquire", cannot)
    with lock(run):
        run.write_status("running")  # by this process, which is alive
        with pytest.raises(RunBusy), lock(run):
            pass
        run.write_status("completed")
        with lock(run):
            pass


def test_clearing_a_run_keeps_a_lock_that_is_held(tmp_path: Path) -> None:
    run = RunDir(tmp_path, "e", "r").create("name: e\n")
    with lock(run):
        run.clear()
        assert [p.name for p in run.path.iterdir()] == [".lock"]
        with pytest.raises(RunBusy), lock(run):
            pass
