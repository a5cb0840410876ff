"""The command line of runs and sweeps: composes with Hydra and runs every job. A user's mistake
becomes one line and exit code 2."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from contextlib import nullcontext, redirect_stderr
from pathlib import Path

import hydra
import yaml
from hydra.errors import CompactHydraException, HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from jepa_lab.cli.job import Command, one_job
from jepa_lab.cli.messages import is_from_hydra, one_line
from jepa_lab.cli.overrides import config_dir, overrides_for_hydra
from jepa_lab.config.groups import conf_dir
from jepa_lab.errors import UserError, say
from jepa_lab.process.command import INTERRUPTED, RESUMES, USER_ERROR, arguments
from jepa_lab.process.signals import stopped_by
from jepa_lab.process.system_errors import system_error_line
from jepa_lab.sweep.records import SweepEnded


def main(argv: list[str] | None = None) -> None:
    """Runs a job or a sweep.

    Exits with the worst code of its jobs. Code 2 counts as the mildest failure.
    """
    command = Command(time.monotonic())
    _compose_and_run(arguments(argv), command)
    codes = command.codes
    if command.sweep is not None:
        from jepa_lab.sweep.outcome import show_sweep  # imports numpy, which is slow

        codes = show_sweep(command.sweep) + [code for code in codes if code == INTERRUPTED]
    failures = [code for code in codes if code]
    if failures:
        raise SystemExit(2 if set(failures) == {2} else max(code for code in failures if code != 2))


def _compose_and_run(args: list[str], command: Command) -> None:
    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
    def task(cfg: DictConfig) -> float | None:
        return one_job(cfg, command)

    # Hydra prints to stderr, and exits, for a --package that names no key
    shows = any(arg in ("--cfg", "-c") or arg.startswith("--cfg=") for arg in args)  # no job
    selects = shows and any(arg.startswith(("--package", "-p")) for arg in args)
    printed = io.StringIO()
    task.__wrapped__.command = command  # read by launchers, see sweep.records.command_of
    try:
        folder = config_dir(args)
        if folder is not None and str(Path(folder).absolute()) not in sys.path:
            # the folder may hold Python files beside YAML files
            sys.path.append(str(Path(folder).absolute()))
        sys.argv = [sys.argv[0], *overrides_for_hydra(args)]
        os.environ["HYDRA_FULL_ERROR"] = "1"
        with redirect_stderr(printed) if selects else nullcontext():
            task()
    except SweepEnded:
        pass
    except SystemExit as end:
        if end.code != 1 or command.codes:  # SIGTERM, for example
            raise
        _fail(" ".join(printed.getvalue().split()) or "Hydra ended the command")
    except KeyboardInterrupt:
        say(stopped_by(signal.SIGINT, RESUMES), prefix="")
        command.codes.append(INTERRUPTED)
    except UserError as error:
        _fail(str(error))
    except (CompactHydraException, HydraException, OmegaConfBaseException) as error:
        _fail(one_line(error))
    except yaml.YAMLError as error:  # an invalid file in a user-defined folder
        _fail(" ".join(str(error).split()))
    except Exception as error:
        line = system_error_line(error)
        if not command.codes:
            line = line or _line(error, args)
        if not line:
            raise
        _fail(line)


def _line(error: Exception, args: list[str]) -> str:
    """Returns the line about an error before the first job, "" for an error that is ours."""
    if isinstance(error, RecursionError):
        return f"{_experiments(args)}: its defaults lead back to itself; remove one of the entries"
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename}"
    if isinstance(error, ValueError) or is_from_hydra(error):
        return one_line(error)
    return ""


def _experiments(args: list[str]) -> str:
    """Returns the experiment among the arguments as given."""
    named = [arg for arg in args if arg.lstrip("+").startswith("experiment=")]
    return " ".join(named) or "the configuration"


def _fail(text: str) -> None:
    say(text)
    raise SystemExit(USER_ERROR) from None
