"""Folders of runs as a sweep leaves them, with curves, in every state that a comparison must
handle."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from jepa_lab.ledger.parquet import ParquetLedger
from jepa_lab.ledger.summary import summarise
from jepa_lab.ledger.sweep_folder import ArmTuning, Candidate, Tuning, WeightTrial, write_tuning

METRIC = "test/probe/class_from_z_agg"
STAGED = {  # settings of a sweep with two stages
    "sweep.report": "aux_comparison",
    "sweep.tuning": {"seeds": [1000, 1001], "metric": "val/probe/class_from_z_agg"},
}
DEAD = 2**22 + 7  # above every process id that Linux gives


def make_run(
    root: Path,
    arm: str,
    seed: int,
    value: float | None = 0.5,
    *,
    state: str = "completed",
    verdict: str = "healthy",
    settings: Mapping[str, Any] | None = None,
    extra: Mapping[str, float] | None = None,
    steps: Sequence[int] = tuple(range(0, 101, 10)),
    reason: str | None = None,
    checkpoint: bool = True,
    run_id: str | None = None,
) -> Path:
    """Makes the run RUNS/arm/arm-seed.

    `value` is the accuracy at the end (NaN: not finite, None: not measured). The `state` "killed"
    means a status of running by a process that no longer exists. Only completed and stopped runs
    have a summary.
    """
    folder = root / arm / f"{arm}-{seed}"
    (folder / "checkpoints").mkdir(parents=True)
    config: dict[str, Any] = {"name": arm, "seed": seed, "dataset": {"name": "digits_rot"}}
    config["sweep"] = {"control": "seq_jepa_baseline"}
    for key, setting in (settings or {}).items():
        *groups, leaf = key.split(".")
        node = config
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = setting
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    written = "running" if state == "killed" else state
    status = {
        "state": written,
        "run_id": run_id or folder.name,
        "experiment": arm,
        "reason": reason,
        "first_bad": None,
    }
    status |= {"pid": DEAD, "host": platform.node()}
    (folder / "status.json").write_text(json.dumps(status))
    ledger = ParquetLedger(folder / "metrics.parquet")
    for step in steps:
        ledger.append(
            step,
            step // 10,
            curves(step, seed, 0.5 if value is None or math.isnan(value) else value),
        )
    if value is not None and state in ("completed", "stopped"):
        ledger.append(
            steps[-1],
            steps[-1] // 10,
            {METRIC: value, "test/z_agg/effective_rank": 20 * value + seed},
        )
    ledger.append(steps[-1], steps[-1] // 10, dict(extra or {}))
    ledger.flush(force=True)
    if state in ("completed", "stopped"):
        judged = {
            "status": verdict,
            "tap": None,
            "since_step": None,
            "reasons": [f"{verdict} by its figures"],
        }
        summary = {
            "metrics": summarise(ledger.history()),
            "verdict": judged,
            "monitor": {},
            "wall_s": 10.0 + seed,
        }
        (folder / "summary.json").write_text(json.dumps(plain(summary)))
    if checkpoint and state == "completed":
        (folder / "checkpoints" / "best.ckpt").write_bytes(f"weights of {folder.name}".encode())
    return folder


def curves(step: int, seed: int, value: float) -> dict[str, float]:
    grown = 1 - math.exp(-step / 30)
    return {
        "val/probe/class_from_z_agg": 0.1 + (value - 0.1) * grown + 0.01 * seed * grown,
        "val/z/effective_rank": 5 + 20 * value * grown,
        "val/z_agg/effective_rank": 3 + 20 * value * grown + seed,
        "val/z/feature_std": 0.1 + 0.2 * grown,
        "val/z_agg/feature_std": 0.7 + 0.1 * grown,
        "train/loss/total": 2.0 * math.exp(-step / 20) + 0.01,
        "train/loss/prediction": 1.0 * math.exp(-step / 20) + 0.01,
        "train/gradient/prediction": 0.3 * math.exp(-step / 50),
        "train/gradient/rate": 0.1,
        "train/gradient_cosine/rate": 0.2 - 0.01 * step,
    }


def plain(content: Any) -> Any:
    """Replaces NaN by None, as the ledger does."""
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [plain(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def every_state(root: Path) -> Path:
    """Makes four arms over six seeds with a failed, a killed, a collapsed, a damaged and a missing
    run."""
    for seed in range(6):
        make_run(root, "seq_jepa_baseline", seed, 0.80 + 0.01 * seed)
        make_run(root, "better", seed, 0.90 + 0.011 * seed)
        make_run(root, "collapsed", seed, 0.95 + 0.001 * seed, verdict="complete_collapse")
    for seed in (0, 1, 2):
        make_run(root, "partial", seed, 0.79 + 0.012 * seed)
    make_run(root, "partial", 3, None, state="failed", reason="out of memory <b>bold</b>")
    make_run(root, "partial", 4, None, state="killed", steps=range(0, 41, 10))
    make_run(root, "never", 0, None, state="failed", reason="rate is not finite at step 3")
    (make_run(root, "damaged", 0) / "config.yaml").write_text("a: ][")
    return root


def arm_of(name: str, weight: float = 1.0) -> dict[str, dict[str, float]]:
    """Returns the group aux of a run's configuration."""
    return {} if name == "none" else {name: {"weight": weight}}


def both_stages(runs: Path) -> Path:
    """Makes none and vicreg over two reported seeds, and vicreg at one tuning seed, with its
    tuning.json."""
    for seed in (0, 1):
        for aux in ("none", "vicreg"):
            own = {**STAGED, "aux": arm_of(aux)}
            make_run(runs / aux, "aux_comparison", seed, 0.8, settings=own, run_id=f"{aux}-{seed}")
    tried = make_run(
        runs / "tried", "aux_comparison", 1000, 0.99, settings={**STAGED, "aux": arm_of("vicreg")}
    )
    trial = WeightTrial(1000, "aux_comparison-1000", str(tried), 0.99)
    arm = ArmTuning("vicreg", "aux.vicreg.weight", 1.0, [Candidate(1.0, [trial])])
    (runs / "sweeps" / "abc").mkdir(parents=True)
    write_tuning(
        runs / "sweeps" / "abc", Tuning("abc", "val/probe/class_from_z_agg", [1000], [arm])
    )
    return runs
