"""The statistics of the labelled runs, written to and read from their Parquet file, and the verdict
on each run from those alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jepa_lab.config.statuses import NO_FAILURE
from jepa_lab.diagnosis import Thresholds, Verdict, judge
from jepa_lab.diagnosis.evidence import TAP_METRICS
from jepa_lab.diagnosis.published import published_of_run, published_rules
from jepa_lab.studies.linear_byol.diagnosis import ERRORS, SHOWN, judge_toy

DATA = Path(__file__).resolve().parents[1] / "tests" / "studies_docs" / "error_rate.parquet"
History = dict[str, list[tuple[int, float]]]
# findings of diagnosis/prediction.py about targets and prediction: features can still be good
OF_PREDICTION = ("no_learning", "uniform_output", "copy_shortcut", "ignores_actions")
POINTS = (
    26  # most points of a curve; the prediction loss is complete, because its spikes are counted
)
METRICS = (*TAP_METRICS, "lidar", "n", "d", "top_share", "dead_share", "within_share")
WHOLE = (
    "train/loss/",
    "train/dino/",
    "train/gradient/",
    "train/grad_norm",
    "train/skipped_steps",
    "val/probe/class",
    "val/probe/relative",
    "val/loss/",
    "val/skill",
    "val/action_gain",
    "val/copy_gain",
    "reference/n_classes",
    "reference/skill",
    "reference/input/effective_rank",
)
COLUMNS = tuple(
    dict.fromkeys(("diverged", "diverged_step", "d_latent", *SHOWN, "loss_population", *ERRORS))
)
SETTINGS = {  # keys of the digits that the rules read or that were drawn
    "optim": ("lr",),
    "loss": ("prediction", "negatives", "prototypes", "form", "lambda_rate"),
    "target": ("name",),
    "model": ("action_conditioning", "predictor", "hidden"),
    "dataset": ("batch_size",),
}
TOY_SETTINGS = (
    "enc",
    "pred",
    "enc_init",
    "stop_gradient",
    "ema_m",
    "lr_pred",
    "lr_enc",
    "mom_pred",
    "batch_size",
    "population",
    "sigma_n",
    "seed",
)


@dataclass(frozen=True)
class Run:
    """A labelled run.

    `half` is fit or held. `oracle` is failed, good or undecided, according to `quantities`.
    `history` of the toy maps its columns by name, with NaN after divergence.
    """

    id: str
    study: str
    half: str
    oracle: str
    config: Mapping[str, Any]
    quantities: Mapping[str, float]
    history: History

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Run:
        """Builds a run from a row of the training's results and from the run's folder."""
        config, folder, quantities = row["config"], Path(row["run_dir"]), dict(row["quantities"])
        if row["study"] == "digits":
            from jepa_lab.ledger.parquet import history_of

            whole = history_of(folder)
            history = {k: _thinned(k, p) for k, p in whole.items() if _kept(k)}
            if "test/skill" in whole:
                # on test images, but not used by the oracle
                quantities["end/skill"] = whole["test/skill"][-1][1]
            config = {
                part: {k: config[part].get(k) for k in keys} for part, keys in SETTINGS.items()
            }
        else:
            from jepa_lab.studies.linear_byol.table import read_run

            columns, _ = read_run(folder / "linear_byol.parquet")
            steps = columns["epoch"]
            history = {
                k: list(zip(steps, map(float, columns[k]), strict=True))
                for k in COLUMNS
                if k in columns
            }
            config = {k: config[k] for k in TOY_SETTINGS}
        return cls(
            row["id"], row["study"], half(row["id"]), row["oracle"], config, quantities, history
        )


def half(name: str) -> str:
    """Returns fit or held, by a hash of the run's name."""
    return ("fit", "held")[sha256(f"half of {name}".encode()).digest()[0] % 2]


def save(path: Path, runs: Sequence[Run]) -> None:
    """Writes one row for each run. Its history is a list of (key, steps, values), with values in
    float32."""
    columns: dict[str, Any] = {
        n: [getattr(r, n) for r in runs] for n in ("id", "study", "half", "oracle")
    }
    columns |= {
        n: [json.dumps(_short(getattr(r, n))) for r in runs] for n in ("config", "quantities")
    }
    kind = pa.list_(
        pa.struct(
            [
                ("key", pa.string()),
                ("steps", pa.list_(pa.int32())),
                ("values", pa.list_(pa.float32())),
            ]
        )
    )
    columns["history"] = pa.array(
        [
            [
                {"key": k, "steps": [s for s, _ in p], "values": [v for _, v in p]}
                for k, p in sorted(r.history.items())
            ]
            for r in runs
        ],
        kind,
    )
    pq.write_table(pa.table(columns), path, compression="zstd", compression_level=19)


def load(path: Path) -> list[Run]:
    """Reads the runs that `save` wrote."""
    runs = []
    for row in pq.read_table(path).to_pylist():
        history = {
            h["key"]: list(zip(h["steps"], h["values"], strict=True)) for h in row.pop("history")
        }
        row |= {n: json.loads(row[n]) for n in ("config", "quantities")}
        runs.append(Run(**row, history=history))
    return runs


@dataclass(frozen=True)
class Judged:
    """A run with the verdict of the rules. `failure` is None if the verdict is inconclusive.
    `published` is None if the published rules have nothing to read."""

    run: Run
    verdict: Verdict
    failure: bool | None
    published: bool | None

    @property
    def of_features(self) -> bool | None:
        """Whether the verdict says that the features failed, which the oracle decides too. A failed
        prediction alone does not count."""
        return (
            None
            if self.failure is None
            else self.failure and self.verdict.status not in OF_PREDICTION
        )

    @property
    def weighed(self) -> bool:
        """Whether the oracle can check the confidence, because the verdict is about the
        features."""
        return self.right is not None and self.verdict.status not in OF_PREDICTION

    @property
    def right(self) -> bool | None:
        """Whether the verdict agrees with the oracle. None if one of them does not decide."""
        if self.failure is None or self.run.oracle == "undecided":
            return None
        return self.failure == (self.run.oracle == "failed")


def judged(runs: Sequence[Run], thresholds: Thresholds | None = None) -> list[Judged]:
    """Returns every run with its verdict."""
    found = []
    for run in runs:
        verdict = verdict_of(run, thresholds)
        failure = None if verdict.status == "inconclusive" else verdict.status not in NO_FAILURE
        found.append(Judged(run, verdict, failure, _published(run)))
    return found


def verdict_of(run: Run, thresholds: Thresholds | None = None, until: float = math.inf) -> Verdict:
    """Returns the verdict from the run's history up to step `until`."""
    history = {k: [p for p in points if p[0] <= until] for k, points in run.history.items()}
    history = {k: points for k, points in history.items() if points}
    if run.study == "digits":
        return judge(history, thresholds, run.config)
    columns: dict[str, list[float]] = {k: [v for _, v in points] for k, points in history.items()}
    columns["epoch"] = [s for s, _ in history["diverged"]]
    return judge_toy(columns, thresholds)


def _published(run: Run) -> bool | None:
    if run.study == "digits":
        status = published_of_run(run.history).status
    else:
        ranks = [v for _, v in run.history["erank_encoded"] if math.isfinite(v)]
        status = published_rules({"effective_rank": ranks[-1]} if ranks else {}).status
    return None if status == "unknown" else status == "collapsed"


def _kept(key: str) -> bool:
    if key.startswith(WHOLE):
        return True
    parts = key.split("/")
    return (
        len(parts) == 3
        and parts[0] in ("val", "reference")
        and parts[1] in ("z", "z_agg", "z_target")
        and parts[2] in METRICS
    )


def _thinned(key: str, points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Returns at most POINTS of the points, including the first and the last."""
    if key == "train/loss/prediction" or len(points) <= POINTS:
        return list(points)
    chosen = sorted({round(i * (len(points) - 1) / (POINTS - 1)) for i in range(POINTS)})
    return [points[i] for i in chosen]


def _short(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in values.items()}
