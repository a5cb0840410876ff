"""Reads finished runs of the toy for linear_byol.py, selects them by their settings, and computes
intervals over their seeds."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jepa_lab.callbacks.checkpoints import read_checkpoint
from jepa_lab.errors import UserError
from jepa_lab.report.comparison.statistics import mean_interval
from jepa_lab.studies.linear_byol import statistics as toy_statistics
from jepa_lab.studies.linear_byol.table import read_rows

SEEDS = 8  # a cell with fewer seeds is not shown
EXPERIMENTS = ("linear_byol_sweep", "linear_byol_learn")
PLAIN = {
    "enc": "linear",
    "pred": "linear",
    "stop_gradient": True,
    "symmetric": False,
    "mom_pred": 0.9,
    "mom_enc": 0.9,
    "d_latent": 10,
    "d_obs": 100,
    "sigma_n": 0.5,
    "spectrum": "lin",
    "orthonormal": True,
    "pred_init": "random",
    "pred_update_every": 1,
    "enc_update_every": 1,
}
SWEEP = {
    **PLAIN,
    "name": "linear_byol_sweep",
    "enc_init": "pinv",
    "population": False,
    "epochs": 2000,
}
LEARN = {
    **PLAIN,
    "name": "linear_byol_learn",
    "enc_init": "random",
    "population": True,
    "epochs": 20000,
}
Key = Callable[["Run"], tuple[Any, ...]]
Seeds = dict[int, "Run"]


@dataclass(frozen=True)
class Run:
    """One finished run: its settings and the history of each column, (T,)."""

    path: Path
    config: Mapping[str, Any]
    columns: Mapping[str, np.ndarray]

    def last(self, metric: str) -> float:
        """Returns the metric at the last step, infinite for a diverged run."""
        return math.inf if self.diverged else float(self.columns[metric][-1])

    @property
    def diverged(self) -> bool:
        return bool(self.columns["diverged"][-1])


def read(runs_dir: Path) -> list[Run]:
    """Returns the completed runs of both experiments, in the order of their folders. Raises
    SystemExit if there are none."""
    found = []
    for path in sorted(
        p for name in EXPERIMENTS for p in runs_dir.glob(f"{name}/*/linear_byol.parquet")
    ):
        try:
            table = read_rows(path)
        except UserError as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        meta = json.loads(table.schema.metadata[b"jepa_lab"])
        if meta["state"] == "completed":
            plain = [
                f.name
                for f in table.schema
                if "list" not in str(f.type) and "string" not in str(f.type)
            ]
            found.append(
                Run(path, meta["config"], {name: table[name].to_numpy() for name in plain})
            )
    if not found:
        raise SystemExit(f"{runs_dir}: no finished run of {' or '.join(EXPERIMENTS)}")
    return found


def select(runs: Iterable[Run], base: Mapping[str, Any], **settings: Any) -> list[Run]:
    """Returns the runs with these settings. Floats are compared to 8 digits."""
    wanted = {**base, **settings}
    return [
        run
        for run in runs
        if all(_same(run.config.get(key), value) for key, value in wanted.items())
    ]


def cells(runs: Iterable[Run], *keys: str) -> dict[tuple[Any, ...], Seeds]:
    """Returns {values of the settings `keys`: {seed: run}} of the cells with at least SEEDS seeds,
    in ascending order.

    Raises SystemExit if two runs have the same cell and seed.
    """
    found: dict[tuple[Any, ...], Seeds] = {}
    for run in runs:
        seeds = found.setdefault(tuple(_round(run.config[key]) for key in keys), {})
        if run.config["seed"] in seeds:
            raise SystemExit(
                f"{run.path} and {seeds[run.config['seed']].path}: two runs of one cell and seed"
            )
        seeds[run.config["seed"]] = run
    return dict(sorted((cell, seeds) for cell, seeds in found.items() if len(seeds) >= SEEDS))


def effective(alpha: float, momentum: float = 0.9, d: int = 10) -> float:
    """Returns the effective step: the mean over d contributes 2 / d, the momentum 1 / (1 - mu)."""
    return alpha * (2 / d) / (1 - momentum)


def best_rate(by_rate: Mapping[float, Run], metric: str) -> tuple[float, bool]:
    """Returns the rate with the lowest metric, and whether it is at an end of the grid, as the
    claims compute it."""
    return toy_statistics.best_rate({rate: run.last(metric) for rate, run in by_rate.items()})


def interval(values: Iterable[float], digits: str = ".3g") -> str:
    """Returns mean [95 % t interval] over seeds."""
    found = mean_interval(values)
    if found.mean is None or found.half_width is None:
        return "none"
    low, high = found.mean - found.half_width, found.mean + found.half_width
    return f"{found.mean:{digits}} [{low:{digits}}, {high:{digits}}]"


def factor(values: Iterable[float], digits: str = ".2g") -> str:
    """Returns the geometric mean [95 % t interval of the logarithm] over seeds, with the number of
    seeds that diverged."""
    everything = list(values)
    logs = [math.log10(max(value, 1e-16)) for value in everything if math.isfinite(value)]
    gone = len(everything) - len(logs)
    note = f" ({gone} of {len(everything)} diverged)" if gone else ""
    found = mean_interval(logs)
    if 2 * gone > len(everything) or found.mean is None or found.half_width is None:
        return f"diverged, {gone} of {len(everything)}"
    low, middle, high = (
        short(10 ** (found.mean + s * found.half_width), digits) for s in (-1, 0, 1)
    )
    return f"{middle} [{low}, {high}]{note}"


def short(value: float, digits: str = ".2g") -> str:
    """Formats 0.00012 as 1.2e-4, without the zeros of an exponent, and 120 as 120."""
    if value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e4:
        return f"{float(f'{value:{digits}}'):g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def final_weights(runs_dir: Path, wanted: Iterable[Run]) -> dict[str, dict[str, torch.Tensor]]:
    """Returns {run id: {enc_0, pred_0, target_0}} from the checkpoints of the commands that trained
    the runs."""
    ids = {run.config["run_id"] for run in wanted}
    found: dict[str, dict[str, torch.Tensor]] = {}
    for path in sorted(runs_dir.glob("linear_byol_*/*/checkpoints/last.ckpt")):
        content = read_checkpoint(path)
        parts = [name for name in ("enc_0", "pred_0", "target_0") if name in content["state"]]
        for place, run_id in enumerate(content["ids"]):
            if run_id in ids:
                found[run_id] = {name: content["state"][name][place] for name in parts}
    return found


def _round(value: Any) -> Any:
    return float(f"{value:.8g}") if isinstance(value, float) else value


def _same(value: Any, wanted: Any) -> bool:
    return bool(_round(value) == _round(wanted))
