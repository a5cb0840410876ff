"""One job of a command: in the command's own process, or in another one that a launcher started for it.

A launcher pickles `one_job` by its name, so that its process imports this module, and with it the resolvers.
"""

from __future__ import annotations

import hashlib
import logging
import math
import signal
import sys
from contextlib import nullcontext
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

import jepa_lab.config.gates  # noqa: F401 - registers its resolver
from jepa_lab.errors import RunBusy, UserError
from jepa_lab.ledger.sweep_folder import JOB, Record
from jepa_lab.process.stop import Stop
from jepa_lab.sweep.lines import named_lines
from jepa_lab.sweep.orders import Orders
from jepa_lab.sweep.search import WORST

GATE_FAILED = 3  # exit code under gates.strict
stop: Stop | None = None  # of the command; None in a process that a launcher started
codes: list[int] = []  # of the jobs that ran in this process


def _sweep_id() -> str:
    """The same for the same sweep, however long it may take, wherever it runs, whatever is done with what exists."""
    other = ("-", "hydra", "max_wall_s=", "sweep.", "on_existing=")
    words = sorted(a for a in sys.argv[1:] if not a.startswith(other))
    return hashlib.blake2b("\n".join(words).encode(), digest_size=5).hexdigest()


OmegaConf.register_new_resolver("sweep_id", _sweep_id, use_cache=True, replace=True)


def one_job(cfg: DictConfig) -> float | None:
    """Runs it; returns what a sweeper maximises (or minimises). Its end is kept in a record for main(), so that a sweep
    goes on and Hydra prints nothing of its own."""
    orders = Orders.of_this_job()
    if orders is None:
        return _recorded(cfg, stop)
    elsewhere = stop is None
    if elsewhere:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal: the command answers
    own = Stop(orders.started(), orders.stopped) if elsewhere else stop
    assert own is not None
    if orders.obsolete() or orders.stopped() or own.reason(cfg.get("max_wall_s")):
        return worst()
    number = HydraConfig.get().job.env_set[JOB]
    with named_lines(f"[{number}] ") if elsewhere else nullcontext():
        value = _recorded(cfg, own, elsewhere)
    if own.signal:
        orders.stop(f"{own.signal} received")  # by this process alone, or by all: the sweep ends
    if cfg.sweep.fail_fast and codes[-1] in (1, 2) and not orders.obsolete():
        orders.stop(f"job {number} failed, and sweep.fail_fast=true")
    return value


def _recorded(cfg: DictConfig, stop: Stop | None, elsewhere: bool = False) -> float:
    in_sweep = Record.of_this_job()
    record = in_sweep or Record(0, [], "running")
    try:
        from jepa_lab.sweep.ladder import checked_rungs, climb

        _refuse_words_of_sweeps()
        rungs = checked_rungs(cfg)
        from jepa_lab.diagnosis.gates import gates_line

        train = trainer_of(rungs[0])

        def opened(run: Any) -> None:
            record.run_id, record.run_dir = run.run_id, str(run.path)
            record.write()

        result = climb(rungs, lambda config: train(config, stop, opened, brief=in_sweep is not None))
        state = "resumed" if result.resumed and result.state == "completed" else result.state
        code, reason = int(state == "failed"), result.reason
        if state not in ("failed", "stopped") and not result.gates_passed:
            code, reason = GATE_FAILED if rungs[0].gates.strict else 0, f"gates: {gates_line(result.gates)}"
        if state in ("completed", "resumed", "skipped"):
            record.value = objective(result, rungs[0].sweep.objective)
        record.close("done" if state == "completed" else state, reason, code)
    except RunBusy as error:
        record.close("running", str(error), code=0 if in_sweep else 2)
        print(f"jepa_lab: {error}", file=sys.stderr)
    except UserError as error:
        record.close("failed", str(error), code=2)
        print(f"jepa_lab: {error}", file=sys.stderr)
    except Exception as error:
        record.close("failed", f"{type(error).__name__}: {error}", code=1)
        logging.getLogger("jepa_lab").exception("the run failed")
    except BaseException:
        record.close("stopped", "interrupted", code=130)
        if not elsewhere:
            raise
    finally:
        codes.append(record.code)
    return worst() if record.value is None else record.value


def _refuse_words_of_sweeps() -> None:
    """UserError where a single run is told how a sweep is to be run: Hydra takes such words and forgets them."""
    hydra = HydraConfig.get()
    for word in hydra.overrides.hydra if hydra.mode != RunMode.MULTIRUN else ():
        if word.startswith(("hydra/launcher=", "hydra/sweeper=", "hydra.launcher.", "hydra.sweeper.")):
            raise UserError(f"{word}: says how a sweep is run, and this is one run; add -m")


def objective(result: Any, key: str | None) -> float | None:
    """The last value of a completed run's metric `key`, or of the one that chooses its best checkpoint; None where the
    run has none that is finite."""
    value = result.monitored if key is None else result.metrics.get(key)
    return value if value is not None and math.isfinite(value) else None


def worst() -> float:
    """What a job that gave no value returns, in the direction of the sweeper."""
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        return -WORST
    return WORST if "minimize" in str(HydraConfig.get().sweeper.get("direction")) else -WORST


def trainer_of(config: Any) -> Any:
    """train(config, stop, opened, brief) of the configuration's study."""
    from jepa_lab.studies.linear_byol.config import ToyConfig

    if isinstance(config, ToyConfig):
        from jepa_lab.studies.linear_byol.study import train_toy

        return train_toy
    from jepa_lab.training.run import train

    return train
