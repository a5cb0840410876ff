"""The results of the runs: a small file each, written whole or not at all, and their labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from collapse_bench import oracle
from collapse_bench.oracle import Measured
from collapse_bench.plan import Spec
from collapse_bench.training import train
from jepa_lab.diagnosis.finding import last_stretch
from jepa_lab.ledger.atomic import write_atomic


def path_of(out: Path, spec: Spec) -> Path:
    """Returns the file of a run."""
    return out / "runs" / f"{spec.name}.json"


def train_missing(out: Path, specs: list[Spec], shard: tuple[int, int] = (0, 1)) -> Iterator[Spec]:
    """Trains the runs of the share that have no file, and yields each when its file is written. A
    run that raises is reported and left out; the next call tries it again."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    (out / "runs").mkdir(parents=True, exist_ok=True)
    for spec in specs[shard[0] :: shard[1]]:
        path = path_of(out, spec)
        if path.exists():
            continue
        try:
            result = train(spec)
        except Exception as error:  # one broken run must not stop the other 900
            print(f"{spec.name}: {type(error).__name__}: {error}", flush=True)
            continue
        write_atomic(path, json.dumps(result, separators=(",", ":")) + "\n")
        yield spec


def read_results(out: Path) -> list[dict[str, Any]]:
    """Returns all finished runs, sorted by name."""
    return [json.loads(p.read_text()) for p in sorted((out / "runs").glob("*.json"))]


def labels_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns label, label_features and label_prediction of a run, and lost_at, the first step of
    the unbroken stretch at the end in which its features are failed (None without one)."""
    looks = {k: Measured.of(v) for k, v in result["oracle"].items()}

    def features(trained: Measured) -> str:
        return oracle.label_features(
            trained, looks["untrained"], looks["raw"], float(result["chance"])
        )

    of_features = features(looks["trained"])
    prediction = result["prediction"]
    of_prediction = oracle.label_prediction(prediction["trained"], prediction["untrained"])
    return {
        "label": oracle.label_run(
            of_features,
            of_prediction,
            early=result["length"] == "early",
            moved=looks["trained"].values.get("moved", 0.0),
        ),
        "label_features": of_features,
        "label_prediction": of_prediction,
        "lost_at": last_stretch(
            result["seen"], lambda seen: features(Measured.of(seen)) == "failed"
        ),
    }
