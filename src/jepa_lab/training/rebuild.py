"""Rebuilds the results of a completed run whose summary is lost, from its weights and metrics."""

from __future__ import annotations

from typing import Any

from jepa_lab.callbacks.checkpoints import Saver, Usable, read_checkpoint
from jepa_lab.diagnosis.gates import evaluate_gates
from jepa_lab.ledger.parquet import last_values
from jepa_lab.training.budget import required
from jepa_lab.training.study import Fit, Session


def rebuilt(session: Session, found: Usable, callbacks: list[Any]) -> Fit:
    """Returns the result of training as the run's files hold it, without training or evaluating.

    The callbacks are as new, except for the Saver. The module has the weights of the checkpoint.
    """
    history = required(session.ledger).history()
    module = session.parts.module
    module.load_state_dict(read_checkpoint(found.path)["state_dict"])
    saver = next(c for c in callbacks if isinstance(c, Saver))
    saver.load_state_dict({**found.saver, "ledger": {}})  # the ledger has later rows, which stay
    gates = evaluate_gates(session.config.gates.limits(), last_values(history))
    return Fit(history, float(found.saver["wall_s"]), module, None, callbacks, gates)
