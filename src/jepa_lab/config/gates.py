"""The config keys `gates`: limits that the last epoch of a run must reach; null means no limit. The
name of a gate is that of a metric, or of a difference of two metrics, followed by _min or _max.
Limits are in the units of the metric."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from jepa_lab.config.groups import conf_dir, options_of
from jepa_lab.errors import nearest

# kind of a gate -> the smallest and the largest limit, and the reason
RANGES: dict[str, tuple[float, float, str]] = {
    "accuracy": (0, 1, "must lie between 0 and 1 (an accuracy, not percent)"),
    "share": (0, 1, "must lie between 0 and 1 (a share, not percent)"),
    "difference": (-1, 1, "must lie between -1 and 1 (accuracies, not percent points)"),
    "r_squared": (-math.inf, 1, "cannot be above 1, which is perfect"),
    "rank": (1, math.inf, "must be at least 1, the rank of anything that varies"),
    "error": (0, math.inf, "must be at least 0"),
    "": (-math.inf, math.inf, ""),
}


def _limit_on(*metrics: str, kind: str = "") -> Any:
    """Returns the field of a gate: its metric, or two metrics, whose difference (first minus
    second) is measured, and the kind of its limit."""
    return field(default=None, metadata={"metrics": metrics, "kind": kind})


@dataclass
class GatesConfig:
    strict: bool = False  # true: exit code 3 if a gate fails
    class_from_z_agg_min: float | None = _limit_on("val/probe/class_from_z_agg", kind="accuracy")
    class_from_z_max: float | None = _limit_on("val/probe/class_from_z", kind="accuracy")
    class_gap_min: float | None = _limit_on(
        "val/probe/class_from_z_agg", "val/probe/class_from_z", kind="difference"
    )
    action_from_z_min: float | None = _limit_on("val/probe/action_from_z", kind="r_squared")
    action_from_z_agg_max: float | None = _limit_on("val/probe/action_from_z_agg", kind="r_squared")
    action_gap_min: float | None = _limit_on(
        "val/probe/action_from_z", "val/probe/action_from_z_agg"
    )
    relative_action_from_z_min: float | None = _limit_on(
        "val/probe/relative_action_from_z", kind="r_squared"
    )
    view_from_z_agg_max: float | None = _limit_on("val/probe/view_from_z_agg", kind="r_squared")
    loss_total_max: float | None = _limit_on("train/loss/total")  # the last logged value
    skill_min: float | None = _limit_on("val/skill", kind="r_squared")
    z_agg_invariance_error_max: float | None = _limit_on("val/z_agg/invariance_error", kind="error")
    z_agg_within_share_max: float | None = _limit_on("val/z_agg/within_share", kind="share")
    z_effective_rank_min: float | None = _limit_on("val/z/effective_rank", kind="rank")
    z_agg_effective_rank_min: float | None = _limit_on("val/z_agg/effective_rank", kind="rank")
    # requires monitor.subspace and views with several factors
    subspace_overlap_max: float | None = _limit_on("val/z/subspace_overlap", kind="share")

    def validate(self) -> None:
        for name, limit in self.limits().items():
            check_limit(f"gates.{name}", name, limit)

    def limits(self) -> dict[str, float]:
        """Returns {gate: limit} of all gates with a limit."""
        return {
            name: float(getattr(self, name)) for name in GATES if getattr(self, name) is not None
        }


_FIELDS = {f.name: f.metadata for f in dataclasses.fields(GatesConfig) if f.metadata}
GATES: dict[str, tuple[str, ...]] = {name: about["metrics"] for name, about in _FIELDS.items()}


def check_limit(key: str, name: str, limit: Any) -> None:
    """Raises ValueError for an unknown gate, or for a limit outside the range of its metric."""
    if name not in GATES:
        raise ValueError(f"{key}: no such gate{nearest(name, list(GATES))}")
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not math.isfinite(limit):
        raise ValueError(f"{key}={limit}: a finite number, or null")
    least, most, reason = RANGES[_FIELDS[name]["kind"]]
    if not least <= limit <= most:
        raise ValueError(f"{key}={limit:g}: {reason}")


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


# the keys that the resolver below reads
READ_BY_GATES = ("dataset.name", "dataset.tiers", "experiment_gates", "tier")


def _default_limit(name: str, *, _root_: DictConfig) -> Any:
    """Returns the default limit of a gate: the experiment's, else the tier's."""
    tier, dataset = _root_.tier.name, _root_.dataset
    own = OmegaConf.select(
        _root_, f"experiment_gates.{dataset.name}.{tier}", throw_on_resolution_failure=False
    )
    general = OmegaConf.select(dataset, f"tiers.{tier}.gates") or {}
    return own[name] if isinstance(own, DictConfig) and name in own else general.get(name)


OmegaConf.register_new_resolver("gate", _default_limit, replace=True)
