"""Checks that the ARC JEPA logs the metrics of its gates."""

from __future__ import annotations

from jepa_lab.config.gates import GATES
from jepa_lab.errors import UserError
from jepa_lab.studies.arc.config import ArcConfig

OF_ARC = ("train/loss/total", "val/skill", "val/z/effective_rank", "val/z_agg/effective_rank")


def require_measurable(config: ArcConfig) -> None:
    """Raises UserError, under gates.strict, for a gate on a metric that the ARC JEPA lacks."""
    if not config.gates.strict:
        return
    for name, limit in config.gates.limits().items():
        if any(key not in OF_ARC for key in GATES[name]):
            known = ", ".join(gate for gate, keys in GATES.items() if set(keys) <= set(OF_ARC))
            raise UserError(
                f"gates.{name}={limit:g}: the ARC JEPA has no such metric, only those of {known}; "
                f"gates.{name}=null removes it"
            )
