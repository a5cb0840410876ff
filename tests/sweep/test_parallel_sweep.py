"""Sweeps in several processes: a job that fails, dies or is killed affects only itself, and the
same command resumes the sweep."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hydra_plugins._jepa_lab_parallel_launcher import SubmititSlurmLauncher
from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
from jepa_lab.config.groups import conf_dir
from jepa_lab.errors import UserError, to_install
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.ledger.sweep_folder import Record, read_records
from jepa_lab.process.alive import process_lives
from jepa_lab.process.orphans import GRACE_S, end_with_parent, parent_gone
from jepa_lab.process.stop import StopRequest
from jepa_lab.sweep.lines import NamedLines
from jepa_lab.sweep.orders import SweepControl
from jepa_lab.sweep.parallel import Jobs
from jepa_lab.sweep.records import CHECKED, SweepStart
from killed_runs import start_command

Command = Callable[..., tuple[int, str, str]]
TOY = ["-m", "+experiment=linear_byol", "figures=false"]
DEAD = 2**22 + 1  # above any process id


def needs(plugin: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        importlib.util.find_spec(plugin) is None, reason=f"{plugin} is not installed"
    )


class Fakes:
    """Jobs with functions in place of processes.

    `deaths` maps a job to how often its process dies before the job ends. All jobs that run at the
    same time (`at_once` of them) die with it, as in joblib.
    """

    def __init__(
        self, folder: Path, records: Sequence[Record], deaths: dict[int, int], at_once: int = 2
    ) -> None:
        self.orders, self.deaths, self.at_once = (
            SweepControl.create(folder, time.monotonic()),
            dict(deaths),
            at_once,
        )
        self.launches: list[list[int]] = []
        self.here: list[int] = []
        for record in records:
            record.folder = folder / "jobs"
            record.write()
        self.jobs = Jobs(records, self.orders, self.elsewhere, self.in_this_process)

    def elsewhere(self, places: Sequence[int]) -> None:
        self.launches.append([p + 1 for p in places])
        for start in range(0, len(places), self.at_once):
            pool = places[start : start + self.at_once]
            if self.orders.stopped():
                return
            doomed = [p for p in pool if self.deaths.get(p + 1, 0) > 0]
            for place in pool:
                self.record(place, "running" if doomed else "done", DEAD)
            if doomed:
                for place in doomed:
                    self.deaths[place + 1] -= 1
                raise RuntimeError("a worker was terminated\nand more")

    def in_this_process(self, place: int) -> None:
        self.here.append(place + 1)
        self.record(place, "skipped", os.getpid())

    def record(self, place: int, state: str, pid: int) -> None:
        record = self.jobs.now()[place]
        record.folder, record.pid = self.orders.folder / "jobs", pid
        record.close(state)

    def run(self) -> list[str]:
        return [record.state for record in self.jobs.run()]


def to_do(n: int) -> list[Record]:
    return [
        Record(i + 1, [f"seed={i}"], "to do", run_id=str(i), run_dir=f"runs/x/{i}")
        for i in range(n)
    ]


def test_a_process_that_dies_fails_only_its_own_job(tmp_path: Path) -> None:
    fakes = Fakes(tmp_path, to_do(6), deaths={3: 99})
    assert fakes.run() == ["done", "done", "failed", "done", "done", "done"]
    assert fakes.launches == [[1, 2, 3, 4, 5, 6], [3], [4], [5, 6]]
    (failed,) = [r for r in read_records(tmp_path) if r.state == "failed"]
    assert failed.code == 1
    assert failed.reason == "its process died: RuntimeError: a worker was terminated"


def test_a_job_whose_process_died_once_is_run_again(tmp_path: Path) -> None:
    assert Fakes(tmp_path, to_do(3), deaths={1: 1}).run() == ["done"] * 3


def test_all_jobs_fail_if_no_process_can_start(tmp_path: Path) -> None:
    fakes = Fakes(tmp_path, to_do(2), deaths={})

    def broken(places: Sequence[int]) -> None:
        fakes.launches.append(list(places))
        raise OSError("no sbatch")

    fakes.jobs.elsewhere = broken
    assert fakes.run() == ["failed", "failed"]
    assert len(fakes.launches) == 1


def test_no_job_is_put_into_the_queue_of_a_cluster_twice(tmp_path: Path) -> None:
    fakes = Fakes(tmp_path, to_do(3), deaths={2: 1})
    fakes.jobs.local = False
    with pytest.raises(UserError, match="a job of the cluster left no result"):
        fakes.run()
    assert fakes.launches == [[1, 2, 3]]


def test_finished_jobs_and_jobs_with_the_same_run_get_no_process(tmp_path: Path) -> None:
    records = to_do(4)
    records[0].state = "done"
    records[3].run_dir = records[1].run_dir
    fakes = Fakes(tmp_path, records, deaths={})
    assert fakes.run() == ["skipped", "done", "done", "skipped"]
    assert fakes.launches == [[2, 3]]
    assert fakes.here == [1, 4]


def test_a_signal_stops_running_jobs_and_keeps_waiting_ones_from_starting(tmp_path: Path) -> None:
    fakes = Fakes(tmp_path, to_do(3), deaths={}, at_once=1)
    whole = fakes.elsewhere

    def interrupted(places: Sequence[int]) -> None:
        whole(places[:1])
        os.kill(os.getpid(), signal.SIGTERM)
        job = SweepControl(tmp_path, fakes.orders.token)  # another process reads the same files
        assert job.stopped() == "SIGTERM received"
        assert StopRequest(external_reason=job.stopped).reason() == "SIGTERM received"
        whole(places[1:])

    before = signal.getsignal(signal.SIGTERM)
    fakes.jobs.elsewhere = interrupted
    assert fakes.run() == ["done", "to do", "to do"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_job_of_a_dead_or_replaced_command_is_obsolete(tmp_path: Path) -> None:
    first = SweepControl.create(tmp_path, time.monotonic())
    assert not first.obsolete()
    second = SweepControl.create(tmp_path, time.monotonic())
    assert first.obsolete()
    assert not second.obsolete()
    command = tmp_path / "jobs" / "command"
    text = command.read_text()
    command.write_text(text.replace(str(os.getpid()), str(DEAD)))
    assert second.obsolete()
    command.write_text(
        text.replace(str(os.getpid()), str(DEAD)).replace('"host": "', '"host": "another-')
    )
    assert not second.obsolete()  # a command on another host counts as alive


def test_the_time_limit_counts_from_the_start_of_the_command(tmp_path: Path) -> None:
    orders = SweepControl.create(tmp_path, time.monotonic() - 100)
    assert StopRequest(orders.started()).reason(99) == "max_wall_s=99 reached"
    assert StopRequest(orders.started()).reason(200) is None


def test_a_clock_that_is_set_back_does_not_change_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = SweepControl.create(tmp_path, time.monotonic() - 100)
    monkeypatch.setattr("jepa_lab.sweep.orders.time.time", lambda: 0.0)
    assert StopRequest(orders.started()).reason(99) == "max_wall_s=99 reached"
    command = tmp_path / "jobs" / "command"
    command.write_text(command.read_text().replace('"host": "', '"host": "another-'))
    assert orders.started() <= time.monotonic()


def test_a_zombie_process_does_not_count_as_alive() -> None:
    assert process_lives(os.getpid())
    assert not process_lives(DEAD)
    assert not process_lives(None)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert not process_lives(child)
    finally:
        os.waitpid(child, 0)


def test_a_worker_ends_soon_after_its_parent() -> None:
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        worker = os.fork()
        if worker == 0:
            end_with_parent(os.getppid(), grace_s=0.1)
            assert parent_gone(os.getppid()) is None
            time.sleep(60)
            os._exit(0)
        os.write(write, str(worker).encode())
        time.sleep(1)
        os._exit(0)
    worker = int(os.read(read, 20))
    assert process_lives(worker)
    os.waitpid(parent, 0)
    deadline = time.monotonic() + 10
    while process_lives(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not process_lives(worker)
    assert parent_gone(DEAD) == "the command of the sweep is gone"


def test_every_output_line_of_a_job_starts_with_its_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = NamedLines(sys.stdout, "[3] ")
    lines.write("one\ntw")
    lines.write("o\n\nrest")
    lines.end()
    assert capsys.readouterr().out == "[3] one\n[3] two\n\n[3] rest\n"
    assert not lines.isatty()


def composed(*overrides: str) -> Any:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", ["+experiment=linear_byol", *overrides], return_hydra_config=True)


@pytest.mark.parametrize("name", ["joblib", "submitit_local", "submitit_slurm"])
def test_every_launcher_composes_with_the_options_of_its_plugin(name: str) -> None:
    launcher = composed(f"hydra/launcher={name}").hydra.launcher
    plugin = "hydra_joblib_launcher" if name == "joblib" else "hydra_submitit_launcher"
    assert launcher._target_.startswith("hydra_plugins._jepa_lab_parallel_launcher.")
    if importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec(
        f"hydra_plugins.{plugin}"
    ):
        config = importlib.import_module(f"hydra_plugins.{plugin}.config")
        kind = {
            "joblib": "JobLibLauncherConf",
            "submitit_local": "LocalQueueConf",
            "submitit_slurm": "SlurmQueueConf",
        }
        assert set(launcher) - {"n_jobs"} == set(
            getattr(config, kind[name]).__dataclass_fields__
        ) - {"n_jobs"}


def test_the_start_of_a_sweep_leaves_the_sweeper_as_its_jobs_compose_it() -> None:
    """Hydra from 1.4 on refuses a job whose sweeper differs from that of the command."""
    config = composed()
    assert config.hydra.sweeper._target_ == CHECKED
    before = OmegaConf.to_container(config.hydra.sweeper)
    SweepStart().on_multirun_start(config)
    assert OmegaConf.to_container(config.hydra.sweeper) == before


def test_a_slurm_job_has_the_size_of_its_run() -> None:
    launcher = SubmititSlurmLauncher()
    launcher.config = composed()
    assert launcher.of_hardware({}) == {
        "nodes": 1,
        "tasks_per_node": 1,
        "cpus_per_task": 4,
        "gpus_per_node": 1,
    }
    sizes = {"devices": 4, "nodes": 2, "threads": 8, "accelerator": "gpu"}
    launcher.config = OmegaConf.create({"hardware": sizes})
    needs = {"nodes": 2, "tasks_per_node": 4, "cpus_per_task": 8, "gpus_per_node": 4}
    assert launcher.of_hardware(dict.fromkeys(needs)) == needs
    assert launcher.of_hardware({"gpus_per_node": 8})["gpus_per_node"] == 8
    with pytest.raises(UserError, match=r"tasks_per_node=2: hardware\.devices=4 needs 4"):
        launcher.of_hardware({"tasks_per_node": 2})


def test_a_slurm_job_is_requeued_at_its_time_limit() -> None:
    launcher = composed(
        "hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu"
    ).hydra.launcher
    assert launcher.partition == "gpu"
    assert launcher.max_num_timeout > 0
    assert launcher.signal_delay_s < 60 * launcher.timeout_min


@pytest.mark.parametrize(
    ("launcher", "extra"), [("joblib", "joblib"), ("submitit_slurm", "submitit")]
)
def test_a_missing_launcher_is_an_error_that_names_the_extra_to_install(
    launcher: str, extra: str, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, extra, None)
    code, _, err = command(*TOY, "seed=0,1", f"hydra/launcher={launcher}")
    assert code == 2
    assert err == f"jepa_lab: hydra/launcher={launcher}: not installed; {to_install(extra)}\n"
    assert not list(tmp_path.rglob("status.json"))


@needs("submitit")
def test_missing_slurm_is_reported_before_the_table_of_jobs(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    code, out, err = command(*TOY, "seed=0,1", "hydra/launcher=submitit_slurm")
    assert (code, out) == (2, "")
    assert err.startswith("jepa_lab: hydra/launcher=submitit_slurm: no Slurm here (no srun)")


@needs("joblib")
@pytest.mark.parametrize("n", ["0", "two", "true"])
def test_a_wrong_number_of_jobs_gives_one_line(n: str, command: Command) -> None:
    code, _, err = command(*TOY, "seed=0,1", "hydra/launcher=joblib", f"hydra.launcher.n_jobs={n}")
    assert code == 2
    assert err.startswith("jepa_lab: hydra.launcher.n_jobs=")
    assert len(err.splitlines()) == 1


@needs("joblib")
def test_an_invalid_job_refuses_a_parallel_sweep_before_any_starts(
    command: Command, tmp_path: Path
) -> None:
    code, _, err = command(*TOY, "sigma_n=0.1,-1", "hydra/launcher=joblib")
    assert code == 2
    assert err.startswith("jepa_lab: sigma_n=-1")
    assert not list(tmp_path.rglob("status.json"))


def states(folder: Path) -> dict[str, dict[str, Any]]:
    runs = [p.parent for p in folder.glob("runs/linear_byol/*/status.json")]
    return {
        run.name: RunDir(folder / "runs", "linear_byol", run.name).status() or {} for run in runs
    }


@needs("joblib")
@pytest.mark.slow
def test_a_killed_parallel_sweep_loses_nothing_and_runs_nothing_twice(
    command: Command, tmp_path: Path
) -> None:
    line = [
        *TOY,
        "epochs=2000",
        "seed=range(0,6)",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    ]
    folder = tmp_path / "sweep"
    folder.mkdir()
    process = start_command(folder, line, group=True)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not done_of(folder):
        time.sleep(0.02)
    group = process.pid or 0
    workers = [pid for pid in members_of(group) if pid != group]
    assert len(workers) >= 2
    os.kill(group, signal.SIGKILL)
    process.join()
    deadline = time.monotonic() + GRACE_S + 30
    while time.monotonic() < deadline and members_of(group):
        time.sleep(0.1)
    left = members_of(group)
    if left:
        os.killpg(group, signal.SIGKILL)
    assert not left, "workers outlive their command"
    before = {
        run: (folder / "runs" / "linear_byol" / run / "summary.json").stat().st_mtime_ns
        for run in done_of(folder)
    }
    started = {run: status["started"] for run, status in states(folder).items()}
    assert 1 <= len(before) < 6
    untouched = next(r for r in read_records(sweep_of(folder)) if r.state == "to do")
    assert untouched.run_dir is not None
    (folder / untouched.run_dir).write_text("a file in the place of the run's folder")

    os.chdir(folder)
    code, out, _ = command(*line)
    assert code == 2
    assert f"{len(before)} skipped" in out
    assert "1 failed" in out
    ended = {r.job: r for r in read_records(sweep_of(folder))}
    assert ended[untouched.job].state == "failed"
    assert f"cannot write {untouched.run_dir}" in str(ended[untouched.job].reason)
    assert sorted(r.state for r in ended.values() if r.run_id in before) == ["skipped"] * len(
        before
    )
    assert len(done_of(folder)) == 5
    assert untouched.run_id not in done_of(folder)
    for run, mtime in before.items():
        assert (folder / "runs" / "linear_byol" / run / "summary.json").stat().st_mtime_ns == mtime
    assert (
        started.items()
        <= {run: status["started"] for run, status in states(folder).items()}.items()
    )
    assert f"comparison: runs/sweeps/{sweep_of(folder).name}/comparison.csv" in out


def members_of(group: int) -> list[int]:
    """Returns the living processes of a process group."""
    stats = [path.parent.name for path in Path("/proc").glob("[0-9]*/stat")]
    return [pid for pid in map(int, stats) if process_lives(pid) and group_of(pid) == group]


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def done_of(folder: Path) -> set[str]:
    return {run for run, status in states(folder).items() if status.get("state") == "completed"}


def sweep_of(folder: Path) -> Path:
    (sweep,) = folder.glob("runs/sweeps/*")
    return sweep


@needs("submitit")
@pytest.mark.slow
def test_submitit_runs_jobs_on_this_machine_and_skips_finished_ones(
    command: Command, tmp_path: Path
) -> None:
    line = [*TOY, "epochs=20", "hydra/launcher=submitit_local"]
    command("+experiment=linear_byol", "figures=false", "epochs=20", "seed=0")
    code, out, _ = command(*line, "seed=0,1,2")
    assert code == 0
    assert [r.state for r in read_records(sweep_of(tmp_path))] == ["skipped", "done", "done"]
    assert len(list(tmp_path.glob("runs/sweeps/*/.submitit/*/*_log.out"))) == 2
    assert "output of the jobs: runs/sweeps/" in out
    assert len(done_of(tmp_path)) == 3
