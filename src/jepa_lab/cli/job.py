"""Runs one job of a command, in the command's process or in a process that a launcher started.

A launcher pickles the task with its `Command`. The process that unpickles it imports this module,
which registers the resolvers.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

import jepa_lab.cli.resolvers  # noqa: F401 - registers the resolvers
from jepa_lab.cli.launched import exit_code_of_follower, is_follower, refuse_several_runs
from jepa_lab.cli.overrides import folder_paths, paths_of
from jepa_lab.config.shared_check import SharedCheck
from jepa_lab.errors import RunBusy, UserError, say
from jepa_lab.ledger.command_line import ONE_RUN, SEARCH_PATH, CommandLine
from jepa_lab.ledger.sweep_folder import JOB, Record, settings_of
from jepa_lab.process.orphans import parent_gone
from jepa_lab.process.output import replace_unprintable
from jepa_lab.process.ranks import ProcessLost, numeric_ranks
from jepa_lab.process.stop import StopRequest
from jepa_lab.process.system_errors import system_error_line
from jepa_lab.sweep.hydra_keys import refuse_in_a_run, require_no_chdir
from jepa_lab.sweep.idle_keys import say_idle_keys
from jepa_lab.sweep.ladder import checked_rungs, climb
from jepa_lab.sweep.lines import named_lines
from jepa_lab.sweep.orders import SweepControl
from jepa_lab.sweep.records import RunningSweep
from jepa_lab.sweep.search import WORST

GATE_FAILED = 3  # exit code under gates.strict


class Command:
    """State that a command shares with its jobs.

    It consists of the request to stop, the exit codes of the jobs that ran in this process, the
    sweep, and what the check of a job reuses of earlier ones. A process started by a launcher gets
    a new Command, with `elsewhere` true.
    """

    def __init__(self, started: float | None = None, elsewhere: bool = False) -> None:
        self.stop = StopRequest(started)
        self.codes: list[int] = []
        self.sweep: RunningSweep | None = None
        self.checks = SharedCheck()
        self.elsewhere = elsewhere

    def __reduce__(self) -> tuple[Any, ...]:
        return Command, (None, True)


def one_job(cfg: DictConfig, command: Command) -> float | None:
    """Runs the job and returns the value that a sweeper maximises or minimises.

    The outcome is kept in a record. A failure does not raise, so the sweep continues and Hydra
    prints no traceback of its own.
    """
    hydra = HydraConfig.get()
    if is_follower(cfg):  # the first process of the run keeps the record
        import_from_config_dir()
        command.codes.append(exit_code_of_follower(cfg, command.checks, command.stop))
        return worst()
    if hydra.mode == RunMode.MULTIRUN and command.sweep is None and not command.elsewhere:
        command.sweep = RunningSweep.of(OmegaConf.merge({"hydra": hydra}, cfg))
    control = SweepControl.of_this_job()
    if control is None:
        return _recorded(cfg, command, command.stop)
    if command.elsewhere:
        replace_unprintable()
        # Ctrl-C reaches every process of a terminal; only the command's process reacts to it
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        parent = os.getppid()
        command.stop = StopRequest(
            control.started(), lambda: control.stopped() or parent_gone(parent)
        )
    if control.obsolete() or control.stopped() or command.stop.reason(cfg.get("max_wall_s")):
        return worst()
    number = hydra.job.env_set[JOB]
    with named_lines(f"[{number}] ") if command.elsewhere else nullcontext():
        value = _recorded(cfg, command, command.stop)
    if command.stop.signal:
        # the whole sweep ends, even if only this process got the signal
        control.stop(f"{command.stop.signal} received")
    if cfg.sweep.fail_fast and command.codes[-1] in (1, 2) and not control.obsolete():
        control.stop(f"job {number} failed, and sweep.fail_fast=true")
    return value


def _recorded(cfg: DictConfig, command: Command, stop: StopRequest) -> float:
    in_sweep = record_of_this_job()
    record = in_sweep or Record(0, [], "running")
    try:
        _refuse_sweep_overrides()
        import_from_config_dir()
        rungs = checked_rungs(cfg, command.checks)
        sweeps = HydraConfig.get().mode == RunMode.MULTIRUN and not command.elsewhere
        refuse_several_runs(rungs, sweeps)
        if in_sweep is None:
            hydra = HydraConfig.get()
            say_idle_keys([(cfg, config) for config in rungs], hydra, hydra, single=True)
        # torch and Lightning are slow, so they are imported only after the configuration is checked
        from jepa_lab.cli.diagnosing import composes
        from jepa_lab.diagnosis.gates import gates_line

        with numeric_ranks():
            from jepa_lab.studies.run import train

        def opened(run: Any) -> None:
            record.run_id, record.run_dir = run.run_id, str(run.path)
            record.write()

        def trained(config: Any) -> Any:
            own = own_command_line(config.tier.name if len(rungs) > 1 else None)
            return train(
                config,
                stop=stop,
                opened=opened,
                brief=in_sweep is not None,
                command_line=own,
                composes=composes,
            )

        result = climb(rungs, trained)
        state = "resumed" if result.resumed and result.state == "completed" else result.state
        code, reason = int(state == "failed"), result.reason
        if state not in ("failed", "stopped") and not result.gates_passed:
            code, reason = (
                GATE_FAILED if rungs[0].gates.strict else 0,
                f"gates: {gates_line(result.gates)}",
            )
        if state in ("completed", "resumed", "skipped"):
            record.value = objective(result, rungs[0].sweep.objective)
        record.close("done" if state == "completed" else state, reason, code)
    except ProcessLost as error:
        record.close("failed", str(error), code=1)
        say(f"{error}; the same command resumes the run")
    except RunBusy as error:
        record.close("running", str(error), code=0 if in_sweep else 2)
        say(str(error))
    except UserError as error:
        record.close("failed", str(error), code=2)
        say(str(error))
    except Exception as error:
        line = system_error_line(error)
        if line:
            record.close("failed", line, code=2)
            say(line)
        else:
            record.close("failed", f"{type(error).__name__}: {error}", code=1)
            logging.getLogger("jepa_lab").exception("the run failed")
    except BaseException as error:
        if type(error) is SystemExit:  # a signal raises a class derived from it
            line = f"user-defined code ended the run: SystemExit: {error.code}"
            record.close("failed", line, code=2)
            say(line)
        else:
            record.close("stopped", "interrupted", code=130)
            if not command.elsewhere:
                raise
    finally:
        command.codes.append(record.code)
    return worst() if record.value is None else record.value


def record_of_this_job() -> Record | None:
    """Returns the record of the current job, written into its sweep's folder. None for a single
    run."""
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN:
        return None
    folder = Path(hydra.sweep.dir) / "jobs"
    number = int(hydra.job.env_set.get(JOB) or int(hydra.job.num) + 1)
    record = Record(
        number, settings_of(hydra.overrides.task), "running", pid=os.getpid(), folder=folder
    )
    record.write()
    return record


def own_command_line(tier: str | None = None) -> CommandLine:
    """Returns the command line that makes only this job's run. `tier` selects one rung of a
    ladder."""
    hydra = HydraConfig.get()
    folder = config_dir_of_this_job()
    overrides = [*settings_of(hydra.overrides.task), *_search_path(hydra.overrides.hydra, folder)]
    flagged = "hydra.mode=MULTIRUN" in hydra.overrides.hydra  # Hydra's form of -m
    if ONE_RUN in sys.argv or (hydra.mode == RunMode.MULTIRUN and not flagged):
        overrides.append(ONE_RUN)  # the experiment defines a sweep, of which this is one run
    line = CommandLine(tuple(overrides), folder)
    return line.changed([f"tier={tier}"]) if tier else line


def _search_path(overrides: Sequence[str], folder: str | None) -> list[str]:
    """Returns the override of the search path as typed, without the entries that --config-dir
    adds."""
    added = [] if folder is None else folder_paths(folder)
    kept = [path for override in overrides for path in paths_of(override) if path not in added]
    return [f"{SEARCH_PATH}[{','.join(kept)}]"] if kept else []


def config_dir_of_this_job() -> str | None:
    """Returns the absolute path of --config-dir, None if it is not given."""
    sources = HydraConfig.get().runtime.config_sources
    return next(
        (str(s.path) for s in sources if s.provider == "command-line" and s.schema == "file"), None
    )


def import_from_config_dir() -> None:
    """Puts the folder of --config-dir on sys.path, so that its Python files can be imported."""
    folder = config_dir_of_this_job()
    if folder is not None and folder not in sys.path:
        sys.path.append(folder)


def _refuse_sweep_overrides() -> None:
    """Raises UserError for overrides of a sweep in a single run, which Hydra accepts and ignores,
    and for a job that changes the working directory."""
    hydra = HydraConfig.get()
    require_no_chdir(hydra)
    if hydra.mode != RunMode.MULTIRUN:
        refuse_in_a_run(hydra.overrides.hydra)


def objective(result: Any, key: str | None) -> float | None:
    """Returns the last value of a completed run's metric `key`. None if the run has no finite
    value.

    For `key` None it is the metric that chooses the best checkpoint.
    """
    value = result.monitored if key is None else result.metrics.get(key)
    return value if value is not None and math.isfinite(value) else None


def worst() -> float:
    """Returns the value of a job without a result: the worst in the sweeper's direction."""
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        return -WORST
    return WORST if "minimize" in str(HydraConfig.get().sweeper.get("direction")) else -WORST
