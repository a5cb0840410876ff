"""Whether a run will measure what its configuration asks for: asked before training, not after."""

from __future__ import annotations

from jepa_lab.config.gates import GATES
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.errors import UserError
from jepa_lab.studies.seq_jepa.build import best_key
from jepa_lab.studies.seq_jepa.config import Config


def require_measurable(config: Config, n_classes: int, group: ViewGroup) -> None:
    """UserError if the metric that chooses checkpoints, or with gates.strict a gate, will have no
    value."""
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
                raise UserError(f"gates.{name}={limit:g}: {reason}; gates.{name}=null takes it off")


def missing(key: str, n_classes: int, group: ViewGroup) -> str:
    """Why a run with such images and views has no value of that metric; "" if it has."""
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
