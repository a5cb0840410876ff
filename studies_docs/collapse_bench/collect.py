"""Collects the finished runs into the Parquet table that the benchmark ships."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from collapse_bench.results import labels_of, read_results
from jepa_lab.report.collapse_bench.rules import verdict_of
from jepa_lab.report.collapse_bench.runs import SHIPPED, BenchRun, load_runs, save_runs

POINTS = 48  # most points of a training curve but for the loss, whose spikes are counted
WHOLE = ("train/loss/total", "train/loss/prediction", "train/loss/info_nce")
NOT_KEPT = (  # metrics of a tap that no rule reads
    "nesum",
    "condition_number",
    "spectral_cliff_share",
    "feature_std_min",
    "off_diagonal_correlation",
    "invariance_error",
    "subspace_explained_variance",
    "subspace_coordinate_participation",
)
OTHERS = (
    "val/loss/",
    "val/skill",
    "val/action_use",
    "val/action_gain",
    "val/copy_gain",
    "val/prediction_gap",
    "val/readout/",
    "val/codebook/",
    "train/",
    "reference/n_classes",
    "reference/skill",
)


def collect(out: Path, to: Path | None) -> str:
    """Writes the table of all finished runs in `out`, and returns what it holds."""
    results = read_results(out)
    runs = [run_of(row) for row in results]
    whole = [replace(run, history=row["history"]) for run, row in zip(runs, results, strict=True)]
    path = to or SHIPPED
    save_runs(path, runs)
    counts = Counter(r.label for r in runs)
    labels = ", ".join(f"{n} {label}" for label, n in sorted(counts.items()))
    changed = sum(
        verdict_of(one).status != verdict_of(other).status
        for one, other in zip(load_runs(path), whole, strict=True)
    )
    return (
        f"{path}: {len(runs)} runs ({labels}), {path.stat().st_size / 1e6:.2f} MB; {changed}"
        " verdicts differ from those on all metrics in full precision"
    )


def run_of(result: Mapping[str, Any]) -> BenchRun:
    """Returns a run of the table from a result of the training."""
    looks = result["oracle"]
    quantities = {f"{k}/{q}": v for k, look in looks.items() for q, v in look["values"].items()}
    for when, values in result["prediction"].items():
        quantities |= {f"{when}/{q}": v for q, v in values.items()}
    groups = ("name", "data", "network", "method", "condition", "kind", "length")
    return BenchRun(
        **{k: result[k] for k in (*groups, "seed", "steps", "onset")},
        **labels_of(result),
        quantities={**quantities, "chance": result["chance"]},
        history={k: thinned(k, p) for k, p in result["history"].items() if kept(k)},
    )


def kept(key: str) -> bool:
    """Whether the table keeps a metric."""
    if key.startswith(OTHERS):
        return True
    where, _, rest = key.partition("/")
    tap, _, metric = rest.partition("/")
    if tap == "input":
        return metric == "effective_rank"
    return tap != "z_hat" and where in ("val", "reference") and metric not in NOT_KEPT


def thinned(key: str, points: Sequence[Sequence[float]]) -> list[tuple[int, float]]:
    """Returns at most POINTS of the points, the first and the last among them. The losses in WHOLE
    keep all."""
    every = [(int(step), float(value)) for step, value in points]
    if not key.startswith("train/") or key in WHOLE or len(every) <= POINTS:
        return every
    chosen = sorted({round(i * (len(every) - 1) / (POINTS - 1)) for i in range(POINTS)})
    return [every[i] for i in chosen]
