"""Writes the tables and the figure of docs/results/arc.md from finished runs. Trains nothing.

    python studies_docs/arc.py --runs-dir runs [--out docs/results/arc.md]
                               [--figure docs/images/arc.png]

Reads the runs of studies_docs/arc_runs.py, and writes the tables between the marks `<!-- NAME -->`
and `<!-- end -->` of the document. Values are those of the last weights: mean ± half-width of a 95
% t interval over seeds.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arc_retrieval import DATASETS, kinds_in, kinds_table, plain_table, retrieval_table
from arc_runs import ARMS, BASE, CORRECTIONS, REAL, TRIED
from documents import arguments, mean, save_figure, write_tables
from jepa_lab.cli.compose import as_data
from jepa_lab.config.tree import flatten
from jepa_lab.diagnosis.finding import History
from jepa_lab.ledger.identity import counted_part
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.read import read_yaml
from jepa_lab.report.comparison.statistics import paired_difference
from jepa_lab.studies.arc.run_verdict import RunVerdict, run_verdict

FAILING = next(iter(BASE))
NOT_OF_AN_ARM = ("seed", "hardware", "target.tau", "monitor", "dataset.tiers", "name")
COLUMNS = [  # columns of the tables of arms: title, key, digits
    ("codes in use", "test/codebook/usage", 2),
    ("in a training window", "train/codebook/usage", 2),
    ("rank of z_agg", "test/z_agg/effective_rank", 1),
    ("spread of z_agg", "test/z_agg/feature_std_l2", 2),
    ("skill", "test/skill", 3),
    ("MRR", "test/retrieval/mrr", 3),
]
REAL_ROWS = [
    ("codes in use, test", "test/codebook/usage", 3),
    ("perplexity, test", "test/codebook/perplexity", 1),
    ("effective rank of z_agg before training", "reference/z_agg/effective_rank", 1),
    ("effective rank of z_agg, validation", "val/z_agg/effective_rank", 1),
    ("effective rank of z_agg, test", "test/z_agg/effective_rank", 1),
    ("InfoNCE, validation", "val/loss/prediction", 2),
    ("chance, validation", "val/info_nce/chance", 2),
    ("InfoNCE, test", "test/loss/prediction", 2),
    ("chance, test", "test/info_nce/chance", 2),
    ("loss added by demonstrations of another task, test", "test/demo_gain", 2),
]
EVENTS = {
    "val/codebook/usage": "codebook",
    "train/codebook/usage": "codebook",
    "val/loss/prediction": "loss",
}


@dataclass
class Arm:
    """The finished runs of an arm. Each field maps a seed to its last metrics, its history or its
    verdict."""

    last: dict[int, dict[str, float]] = field(default_factory=dict)
    history: dict[int, History] = field(default_factory=dict)
    verdict: dict[int, RunVerdict] = field(default_factory=dict)

    def values(self, key: str) -> dict[int, float]:
        """Returns {seed: last value} for the seeds with a value."""
        return {seed: last[key] for seed, last in self.last.items() if key in last}


def read(runs_dir: Path) -> dict[str, Arm]:
    """Returns the completed runs by arm. Raises SystemExit for two runs of one arm and seed."""
    wanted = {
        name: _settings(as_data([*overrides, "tier=quick"]) or {})
        for name, overrides in ARMS.items()
    }
    found: dict[str, Arm] = {}
    for path in sorted(runs_dir.glob("arc_*/*/summary.json")):
        folder, config = path.parent, read_yaml(path.parent / "config.yaml")
        state = json.loads((folder / "status.json").read_text(encoding="utf-8"))["state"]
        name = _arm_of(_settings(config), config.get("name"), wanted)
        if state != "completed" or name is None:
            continue
        arm, seed = found.setdefault(name, Arm()), int(config["seed"])
        if seed in arm.last:
            raise SystemExit(f"{folder}: a second run of '{name}' with seed {seed}")
        metrics = json.loads(path.read_text(encoding="utf-8"))["metrics"]
        arm.last[seed] = {k: v["last"] for k, v in metrics.items() if v["last"] is not None}
        arm.history[seed] = history_of(folder)
        arm.verdict[seed] = run_verdict(arm.history[seed], state, config=config)
    return {name: found[name] for name in ARMS if name in found}


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in flatten(counted_part(config)) if not k.startswith(NOT_OF_AN_ARM)}


def _arm_of(
    run: Mapping[str, Any], experiment: Any, wanted: Mapping[str, Mapping[str, Any]]
) -> str | None:
    """Returns the arm that agrees with a run in every setting that both have, or None."""
    for name, settings in wanted.items():
        own = ARMS[name][0].partition("=")[2] == experiment
        if own and all(run[key] == value for key, value in settings.items() if key in run):
            return name
    return None


def arms_table(runs: Mapping[str, Arm], names: Sequence[str]) -> str:
    """Returns a table with a row for every arm that has runs: codebook, rank, spread, prediction
    and verdicts."""
    lines = [
        "| arm | seeds | "
        + " | ".join(title for title, *_ in COLUMNS)
        + " | verdicts | first to fall |"
    ]
    lines.append("|---" * (len(COLUMNS) + 4) + "|")
    for name in (n for n in names if n in runs):
        arm = runs[name]
        cells = [mean(list(arm.values(key).values()), digits) for _, key, digits in COLUMNS]
        statuses = Counter(v.status for v in arm.verdict.values())
        first = Counter(_event(v) for v in arm.verdict.values())
        verdicts, events = (
            ", ".join(f"{n} {what}" for what, n in sorted(count.items()))
            for count in (statuses, first)
        )
        lines.append(
            f"| {name} | {len(arm.last)} | " + " | ".join(cells) + f" | {verdicts} | {events} |"
        )
    return "\n".join(lines)


def effects_table(runs: Mapping[str, Arm], names: Sequence[str]) -> str:
    """Returns the change that every correction makes to the failing recipe, over shared seeds: mean
    difference and 95 % t interval.

    There is no p value. With five seeds a sign-flip test cannot go below .06, and there are many
    rows.
    """
    keys = [(t, k, d) for t, k, d in COLUMNS if k.startswith("test/")]
    lines = ["| correction less the failing recipe | " + " | ".join(t for t, *_ in keys) + " |"]
    lines.append("|---" * (len(keys) + 1) + "|")
    for name in (n for n in names if n in runs and n != FAILING):
        cells = []
        for _, key, digits in keys:
            d = paired_difference(runs[name].values(key), runs[FAILING].values(key))
            cells.append(
                ""
                if d is None
                else f"{d.mean:+.{digits}f} [{d.low:+.{digits}f}, {d.high:+.{digits}f}]"
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def order_table(arm: Arm) -> str:
    """Returns the first violations of every seed of an arm, in their order."""
    lines = ["| seed | verdict | what was violated first, and then |", "|---|---|---|"]
    for seed in sorted(arm.verdict):
        verdict = arm.verdict[seed]
        violations = "; ".join(
            f"{f.flag} at step {f.step}: {f.reason}" for f in verdict.fired if f.step is not None
        )
        lines.append(f"| {seed} | {verdict.status} | {violations or 'nothing'} |")
    return "\n".join(lines)


def real_table(arm: Arm) -> str:
    """Returns the tables of the healthy run on real tasks: its metrics, its retrieval beside the
    plain baselines and the untrained network, and top 1 by kind of rule."""
    lines = [f"| over {len(arm.last)} seeds | value |", "|---|---|"]
    lines += [
        f"| {title} | {mean(list(arm.values(key).values()), digits)} |"
        for title, key, digits in REAL_ROWS
    ]
    statuses = Counter(v.status for v in arm.verdict.values())
    lines.append(f"| verdicts | {', '.join(f'{n} {v}' for v, n in statuses.items())} |")

    def values(key: str) -> list[float]:
        return list(arm.values(key).values())

    kinds = kinds_in({key for last in arm.last.values() for key in last})
    tables = ["\n".join(lines), retrieval_table(values)]
    return "\n\n".join([*tables, *([kinds_table(values, kinds)] if kinds else [])])


def _event(verdict: RunVerdict) -> str:
    return (
        "nothing"
        if verdict.first is None
        else EVENTS.get(verdict.first.quantity, verdict.first.flag.lower())
    )


def draw(runs: Mapping[str, Arm], path: Path, second: str = "everything") -> None:
    """Draws usage, rank and skill over the steps, for every seed of the failing recipe and of the
    arm `second`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [
        ("val/codebook/usage", "codes in use"),
        ("val/z_agg/effective_rank", "effective rank of z_agg"),
        ("val/skill", "skill"),
    ]
    figure, axes = plt.subplots(1, len(shown), figsize=(11, 3.4))
    for axis, (key, title) in zip(axes, shown, strict=True):
        for name, colour in ((FAILING, "#b03a00"), (second, "#00704f")):
            lines = (
                [dict(h[key]) for h in runs[name].history.values() if h.get(key)]
                if name in runs
                else []
            )
            for points in lines:
                axis.plot(
                    list(points), list(points.values()), color=colour, alpha=0.25, linewidth=1
                )
            steps = sorted(set.intersection(*(set(points) for points in lines))) if lines else []
            middle = [statistics.fmean(points[step] for points in lines) for step in steps]
            axis.plot(steps, middle, color=colour, linewidth=2.2, label=name)
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_xlabel("optimiser step", fontsize=9)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        axis.grid(color="0.93")
        axis.set_axisbelow(True)
        axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
    axes[0].legend(frameon=False, fontsize=9)
    save_figure(figure, path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Prints the tables, or writes them into the document."""
    args = arguments(__doc__ or "")
    runs = read(args.runs_dir)
    if FAILING not in runs:
        raise SystemExit(
            f"no finished run of arc_sixth_run under {args.runs_dir}; train them with"
            " studies_docs/arc_runs.py"
        )
    tables = {
        "order": order_table(runs[FAILING]),
        "tried": arms_table(runs, [*BASE, *TRIED]),
        "corrections": arms_table(runs, [FAILING, *CORRECTIONS]),
        "effects": effects_table(runs, list(CORRECTIONS)),
        "plain": plain_table(DATASETS),
    }
    real = next(iter(REAL))
    if real in runs:
        tables["real"] = real_table(runs[real])
    write_tables(tables, args.out)
    if args.figure is not None:
        draw(runs, args.figure)


if __name__ == "__main__":
    main()
