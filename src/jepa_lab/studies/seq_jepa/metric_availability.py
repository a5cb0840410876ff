"""Checks before training that a run will measure the metrics its configuration depends on."""

from __future__ import annotations

from jepa_lab.config.gates import GATES
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.errors import UserError
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.parts import best_key


def require_measurable(config: Config, n_classes: int, group: ViewGroup) -> None:
    """Raises UserError if the metric that chooses checkpoints will have no value. With gates.strict
    this also holds for the metrics of the gates."""
    best = best_key(config, n_classes)
    reason = missing(best, n_classes, group)
    if reason:
        raise UserError(f"monitor.best={best}: {reason}")
    if not config.gates.strict:
        return
    for name, limit in config.gates.limits().items():
        for key in GATES[name]:
            reason = missing(key, n_classes, group)
            if reason:
                raise UserError(f"gates.{name}={limit:g}: {reason}; gates.{name}=null removes it")


def missing(key: str, n_classes: int, group: ViewGroup) -> str:
    """Returns the reason why a run with these images and views has no such metric, or "" if it has
    it."""
    if "class_from" in key and n_classes < 2:
        return "the images have no labels"
    if key in ("val/z_agg/within_share", "val/z_agg/invariance_error") and group.n_views < 3:
        return "needs two observed views, dataset.n_views of 3 or more"
    if "relative_action" in key and group.n_views < 4:
        return "needs two views that are not the reference, dataset.n_views of 4 or more"
    if "/action_from" in key and group.n_views < 3:
        return "needs two observed views, dataset.n_views of 3 or more"
    if key.endswith("subspace_overlap") and len(group.action_slices) < 2:
        return "these views have a single factor"
    return ""
