"""The config keys `gates`: limits that the last epoch of a run must reach; null means no limit. The
name of a gate is that of a metric, or of a difference of two metrics, followed by _min or _max.
Limits are in the units of the metric."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from jepa_lab.config.groups import conf_dir, options_of
from jepa_lab.errors import nearest

# gate -> its metric, or two metrics, whose difference (first minus second) is measured
GATES: dict[str, tuple[str, ...]] = {
    "class_from_z_agg_min": ("val/probe/class_from_z_agg",),
    "class_from_z_max": ("val/probe/class_from_z",),
    "class_gap_min": ("val/probe/class_from_z_agg", "val/probe/class_from_z"),
    "action_from_z_min": ("val/probe/action_from_z",),
    "action_from_z_agg_max": ("val/probe/action_from_z_agg",),
    "action_gap_min": ("val/probe/action_from_z", "val/probe/action_from_z_agg"),
    "relative_action_from_z_min": ("val/probe/relative_action_from_z",),
    "view_from_z_agg_max": ("val/probe/view_from_z_agg",),
    "loss_total_max": ("train/loss/total",),
    "skill_min": ("val/skill",),
    "z_agg_invariance_error_max": ("val/z_agg/invariance_error",),
    "z_agg_within_share_max": ("val/z_agg/within_share",),
    "z_effective_rank_min": ("val/z/effective_rank",),
    "z_agg_effective_rank_min": ("val/z_agg/effective_rank",),
    "subspace_overlap_max": ("val/z/subspace_overlap",),
}
SHARES = (
    "class_from_z_agg_min",
    "class_from_z_max",
    "z_agg_within_share_max",
    "subspace_overlap_max",
)
R_SQUARED = (
    "action_from_z_min",
    "action_from_z_agg_max",
    "relative_action_from_z_min",
    "view_from_z_agg_max",
)


@dataclass
class GatesConfig:
    strict: bool = False  # true: exit code 3 if a gate fails
    class_from_z_agg_min: float | None = None
    class_from_z_max: float | None = None
    class_gap_min: float | None = None  # class_from_z_agg - class_from_z
    action_from_z_min: float | None = None
    action_from_z_agg_max: float | None = None
    action_gap_min: float | None = None  # action_from_z - action_from_z_agg
    relative_action_from_z_min: float | None = None
    view_from_z_agg_max: float | None = None
    loss_total_max: float | None = None  # last logged value of train/loss/total
    skill_min: float | None = None
    z_agg_invariance_error_max: float | None = None
    z_agg_within_share_max: float | None = None
    z_effective_rank_min: float | None = None
    z_agg_effective_rank_min: float | None = None
    # requires monitor.subspace and views with several factors
    subspace_overlap_max: float | None = None

    def validate(self) -> None:
        for name, limit in self.limits().items():
            check_limit(f"gates.{name}", name, limit)

    def limits(self) -> dict[str, float]:
        """Returns {gate: limit} of all gates with a limit."""
        return {
            name: float(getattr(self, name)) for name in GATES if getattr(self, name) is not None
        }


def check_limit(key: str, name: str, limit: Any) -> None:
    """Raises ValueError for an unknown gate, or for a limit outside the range of its metric."""
    if name not in GATES:
        raise ValueError(f"{key}: no such gate{nearest(name, list(GATES))}")
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not math.isfinite(limit):
        raise ValueError(f"{key}={limit}: a finite number, or null")
    if name in SHARES and not 0 <= limit <= 1:
        what = "an accuracy" if name.startswith("class") else "a share"
        raise ValueError(f"{key}={limit:g}: must lie between 0 and 1 ({what}, not percent)")
    if name == "class_gap_min" and not -1 <= limit <= 1:
        raise ValueError(
            f"{key}={limit:g}: must lie between -1 and 1 (accuracies, not percent points)"
        )
    if name in (*R_SQUARED, "skill_min") and limit > 1:
        raise ValueError(f"{key}={limit:g}: cannot be above 1, which is perfect")
    if name.endswith("effective_rank_min") and limit < 1:
        raise ValueError(f"{key}={limit:g}: must be at least 1, the rank of anything that varies")
    if name == "z_agg_invariance_error_max" and limit < 0:
        raise ValueError(f"{key}={limit:g}: must be at least 0")


TIERS = ("smoke", "quick", "baseline", "remote", "paper")


def check_experiment_gates(content: dict[str, Any], own: str) -> None:
    """Raises ValueError unless `content` is {dataset: {tier: {gate: limit}}} with known names.
    `own` is the name of the run's data set, which may be user-defined."""
    known = [*options_of(conf_dir() / "dataset"), own] if content else []
    for dataset, tiers in content.items():
        if dataset not in known:
            raise ValueError(
                f"experiment_gates.{dataset}: no such data set{nearest(dataset, known)}"
            )
        key = f"experiment_gates.{dataset}"
        if not isinstance(tiers, dict):
            raise ValueError(f"{key}={tiers}: expected tier: {{gate: limit}}")
        for tier, gates in tiers.items():
            if tier not in TIERS:
                raise ValueError(f"{key}.{tier}: no such tier; one of {', '.join(TIERS)}")
            if not isinstance(gates, dict):
                raise ValueError(f"{key}.{tier}={gates}: expected gate: limit")
            for name, limit in gates.items():
                check_limit(f"{key}.{tier}.{name}", name, limit)


def _gate(name: str, *, _root_: DictConfig) -> Any:
    """Returns the default limit of a gate: the experiment's, else the tier's."""
    tier, dataset = _root_.tier.name, _root_.dataset
    own = OmegaConf.select(
        _root_, f"experiment_gates.{dataset.name}.{tier}", throw_on_resolution_failure=False
    )
    general = OmegaConf.select(dataset, f"tiers.{tier}.gates") or {}
    return own[name] if isinstance(own, DictConfig) and name in own else general.get(name)


OmegaConf.register_new_resolver("gate", _gate, replace=True)
assert {f.name for f in dataclasses.fields(GatesConfig)} == {"strict", *GATES}
