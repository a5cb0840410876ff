"""The onset of a failure to the step: a stretch of a run is repeated from one of its states, with a
validation after every step."""

from __future__ import annotations

import io
import tempfile
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

from jepa_lab.callbacks.state_ring import State
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.ledger.parquet import history_of
from jepa_lab.process.stop import StopRequest
from jepa_lab.training.branching import prepare_branch
from jepa_lab.training.study import Session
from jepa_lab.training.trained_study import TrainedStudy
from jepa_lab.training.trainer import build_trainer

MOST = 256  # steps, and so validations, of a stretch


def onset_to_the_step(
    study: TrainedStudy, folder: Path, config: Any, data: Any, states: list[State], verdict: Verdict
) -> int | None:
    """Returns the step at which the verdict's failure began, None if it cannot be dated better than
    by the validations of the run.

    The stretch from the last state before the first failing validation is repeated. Its training is
    that of the run to the bit. The first step from which the same verdict holds to the end of the
    stretch is the onset. A stretch longer than 256 steps is too expensive.
    """
    onset = verdict.since_step
    before = [state for state in states if onset is not None and state.step < onset]
    if onset is None or not before or onset - before[-1].step > MOST:
        return None
    if not _known_at_once(study, folder, config, verdict, onset):
        return None
    found = study.judge_of(config)(replayed(study, folder, config, data, before[-1], onset))
    return found.since_step if found.status == verdict.status else None


def replayed(
    study: TrainedStudy, folder: Path, config: Any, data: Any, start: State, until: int
) -> dict[str, list[tuple[int, float]]]:
    """Returns the metrics of the run in `folder` up to the step `until`, with a validation after
    every step from a state on. Writes nothing into the folder."""
    with tempfile.TemporaryDirectory(prefix="jepa_lab_replay_") as place:
        monitor = replace(config.monitor, ring=0, save_every_s=1e9)
        own = replace(config, runs_dir=place, monitor=monitor, figures="never")
        plan = study.plan(own, study.fingerprint(data))
        before, parts = study.prepare(config, data), study.prepare(own, data)
        prepare_branch(plan.home, folder, start, own, (before.module, parts.module))
        session = Session(plan, data, parts, StopRequest(), brief=True)
        session.checkpoint = study.checkpoint(session)
        session.ledger = study.open_ledger(session)
        session.parts.module.eval_prefix = "val"
        with study.open_loggers(session) as session.loggers, redirect_stderr(io.StringIO()):
            trainer = build_trainer(
                own,
                session.parts.budget,
                session.run,
                session.loggers.all,
                study.build_callbacks(session),
                max_steps=until,
                val_check_interval=own.optim.accumulate,
                check_val_every_n_epoch=None,
            )
            loaders = session.parts.loaders
            trainer.fit(
                session.parts.module,
                loaders["train"],
                loaders["val"],
                ckpt_path=session.checkpoint.path,
                weights_only=True,
            )
        assert session.ledger is not None
        session.ledger.fold()
        return history_of(session.run.path)


def _known_at_once(
    study: TrainedStudy, folder: Path, config: Any, verdict: Verdict, onset: int
) -> bool:
    """Whether the run up to its onset alone has the verdict already: a rule that needs what comes
    later cannot be dated."""
    early = {
        key: [point for point in points if point[0] <= onset]
        for key, points in history_of(folder).items()
    }
    return study.judge_of(config)(early).status == verdict.status
