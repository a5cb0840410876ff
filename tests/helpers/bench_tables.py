"""Tables of the benchmark of collapses with constructed runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jepa_lab.report.collapse_bench.runs import BenchRun, save_runs

STEPS = (10, 20, 30, 40, 50, 60)


def bench_run(
    name: str,
    label: str,
    rank: float,
    *,
    data: str = "digits",
    network: str = "mlp",
    method: str = "byol",
    lost_at: int | None = None,
    fell_at: int | None = None,
) -> BenchRun:
    """Returns a run whose z has an effective rank of `rank`, from step `fell_at` on if that is
    given, and 20 before."""
    ranks = [20.0 if fell_at is not None and s < fell_at else rank for s in STEPS]
    curves = {
        "val/z/effective_rank": ranks,
        "val/z/rankme": ranks,
        "val/z/feature_std_l2": [0.8] * 6,
        "val/z/mean_pairwise_cosine": [0.1] * 6,
        "val/z/spectral_cliff_r": [32.0] * 6,
        "val/z/n": [512.0] * 6,
        "val/z/d": [32.0] * 6,
    }
    history = {k: list(zip(STEPS, v, strict=True)) for k, v in curves.items()}
    history["reference/z/effective_rank"] = [(0, 20.0)]
    history["train/loss/total"] = [(s, 1.0 / s) for s in range(1, 61)]
    return BenchRun(
        name=name,
        data=data,
        network=network,
        method=method,
        condition="healthy",
        kind="healthy",
        length="enough",
        label=label,
        label_features=label,
        label_prediction="undecided",
        seed=0,
        steps=60,
        lost_at=lost_at,
        onset=lost_at is not None,
        quantities={"trained/knn": 0.5},
        history=history,
    )


def some_runs() -> list[BenchRun]:
    """Returns ten runs of two data sets, two networks and two methods. Rank tells most of them
    apart: one good run has a low rank, and one failed run a high one."""
    found = []
    ranks = [("good", 12.0), ("good", 15.0), ("failed", 1.2), ("failed", 1.1), ("undecided", 1.3)]
    for i, data in enumerate(("digits", "shapes")):
        for j, (label, rank) in enumerate(ranks):
            network, method = ("mlp", "cnn")[j % 2], ("byol", "vicreg")[(i + j) % 2]
            groups = {"data": data, "network": network, "method": method}
            found.append(bench_run(f"{data}.{j}", label, rank, **groups))
    found.append(bench_run("digits.low", "good", 1.15, method="vicreg"))
    found.append(bench_run("shapes.high", "failed", 14.0, data="shapes", network="cnn"))
    return found


def write_table(path: Path, runs: Sequence[BenchRun] | None = None) -> Path:
    """Writes a table of the runs, by default `some_runs`, and returns its path."""
    save_runs(path, some_runs() if runs is None else runs)
    return path
