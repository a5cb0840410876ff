"""The part of a process other than the first in a run that several train together."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from jepa_lab.config.run_config import RunConfig
from jepa_lab.errors import RunStopped, UserError
from jepa_lab.ledger.lock import lock
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.process.ranks import ProcessLost
from jepa_lab.process.stop import StopRequest
from jepa_lab.training.place import Place
from jepa_lab.training.study import Session, Study
from jepa_lab.training.together import Word, is_from_peers, joined, silence
from jepa_lab.training.trainer import prepare_process


class Followed(NamedTuple):
    """The folder of the run, and its state as this process knows it."""

    folder: Path
    state: str


def follow_run(
    study: Study, config: RunConfig, place: Place, stop: StopRequest | None = None
) -> Followed:
    """Trains a run as one of its processes other than the first, and writes nothing.

    If the first one is killed, this one notes that in status.json. Raises ProcessLost if another
    process has ended.
    """
    stop, word = stop or StopRequest(), None
    try:
        with silence(), joined(place) as word, stop.watching():
            if word is None:
                return Followed(Path(config.runs_dir), "skipped")
            return Followed(word.home.path, _train(study, config, place, stop, word))
    except RuntimeError as error:
        if not is_from_peers(error):
            raise
        if word is not None:
            _note_killed(word.home)
        raise ProcessLost("another process of the run ended") from error


def _train(study: Study, config: RunConfig, place: Place, stop: StopRequest, word: Word) -> str:
    """Returns the state in which the run ends. Data are read after the first process has read
    them, which may fill a cache."""
    prepare_process(config, study.threads(config), place)
    data = study.load(config)
    plan = study.plan(config, study.fingerprint(data))
    parts = study.prepare(config, data)
    session = Session(plan, data, parts, stop, word.checkpoint, place=place)
    try:
        return "failed" if study.fit(session).failure else "completed"
    except RunStopped:
        return "stopped"


def _note_killed(run: RunDir) -> None:
    """Notes in status.json that the first process of the run was killed, unless another command
    has the run already."""
    with suppress(UserError), lock(run):
        if (run.status() or {}).get("state") == "running":
            run.write_status("failed", "its first process was killed")
