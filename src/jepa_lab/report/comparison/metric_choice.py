"""Chooses the metric of a ranking, its direction, and the metrics that are reported beside it."""

from __future__ import annotations

from collections.abc import Sequence

from jepa_lab.errors import UserError, nearest
from jepa_lab.ledger.finished_run import Run
from jepa_lab.report.comparison.text import HEADLINE

# default metrics; the first that was measured on test or val is used
DEFAULTS = ("probe/class_from_z_agg", "skill")
LOWER_IS_BETTER = ("loss", "error", "within_share")  # parts of a metric's name
HIGHER_IS_BETTER = ("class_from", "action_from", "skill", "_gain", "retrieval/")
BESIDE = ("z/effective_rank", "z_agg/effective_rank", "z/feature_std", "z_agg/feature_std")


def choose_metric(runs: Sequence[Run], wanted: str | None) -> str:
    """Returns the metric to rank by: `wanted`, or the first default that was measured.

    Raises UserError if no run has measured it, with the nearest metrics that were measured."""
    known = {key for run in runs for key in run.last()}
    if wanted is None:
        for name in DEFAULTS:
            for split in ("test", "val"):
                if f"{split}/{name}" in known:
                    return f"{split}/{name}"
        some = sorted(key for key in known if key.startswith(("test/", "val/")))[:3]
        as_these = ", as " * bool(some) + ", ".join(some)
        raise UserError(
            f"no run has measured test/{DEFAULTS[0]}; name a metric with --metric{as_these}"
        )
    if wanted in known:
        return wanted
    same = [key for key in known if key.endswith(f"/{wanted.split('/')[-1]}")]  # on another split
    raise UserError(f"--metric {wanted}: no run has measured it{nearest(wanted, same or known, 3)}")


def direction_of(metric: str) -> str:
    """Returns min for losses and errors, and max for probes, skills and gains.

    Raises UserError for a metric that has no direction, e.g. a rank or a scale."""
    if any(part in metric for part in LOWER_IS_BETTER):
        return "min"
    if any(part in metric for part in HIGHER_IS_BETTER):
        return "max"
    raise UserError(
        f"--metric {metric}: neither high nor low is better by itself; add --direction max or min"
    )


def counterpart(metric: str) -> str:
    """Returns the key of the metric on validation."""
    return "val/" + metric.removeprefix("test/") if metric.startswith("test/") else metric


def metrics_beside(runs: Sequence[Run], metric: str) -> list[str]:
    """Returns the declared metric, then the metrics that are reported beside it."""
    known = {key for run in runs for key in run.last()}
    split = "test" if any(key.startswith("test/") for key in known) else "val"
    beside = [counterpart(metric), *(f"{split}/{key}" for key in (*HEADLINE, *BESIDE))]
    return list(dict.fromkeys([metric, *(key for key in beside if key in known)]))
