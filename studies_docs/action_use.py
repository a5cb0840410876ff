"""Writes the tables and the figures of docs/results/action_use.md from finished runs. Trains
nothing.

    python studies_docs/action_use.py --runs-dir runs [--out docs/results/action_use.md]
                                      [--figure docs/images/action_use.png]

Reads the ledgers of seq_jepa_baseline, seq_jepa_stopgrad, teacherless_a and teacherless_b with
recipe=predictive (the document lists the commands that train them). A cell of the factorial is the
teacher's memory in steps (0: stop-gradient), the weight of the rate, the aggregator's dropout and
the steps of the run.
Values are of the validation images at the last step: mean ± half-width of a 95 % t interval over
seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from documents import arguments, mean, save_figure, write_tables
from jepa_lab.diagnosis import Thresholds
from jepa_lab.diagnosis.finding import last_stretch
from jepa_lab.ledger.parquet import history_of
from jepa_lab.networks.ema import memory_of_tau
from jepa_lab.report.comparison.find_runs import find_runs
from jepa_lab.report.comparison.statistics import paired_difference

NAMES = ("seq_jepa_baseline", "seq_jepa_stopgrad", "teacherless_a", "teacherless_b")
NARROW = [16, 32, 64]  # widths of the encoder in the factorial
USED = Thresholds().some_use  # share of the possible gain from which on actions count as used
USE, RELATIVE = "val/action_use", "val/probe/relative_action_from_z"
COLUMNS = [
    ("use of the actions", USE, 2),
    ("action gain", "val/action_gain", 3),
    ("prediction loss", "val/loss/prediction", 3),
    ("skill", "val/skill", 2),
    ("relative action R²", RELATIVE, 3),
    ("class from z", "val/probe/class_from_z", 3),
    ("class from z_agg", "val/probe/class_from_z_agg", 3),
    ("rank of z_agg", "val/z_agg/effective_rank", 1),
]
FACTORS = {  # field of a cell -> the effect of a level against the lowest one
    "memory": "teacher with a memory of {level:,} steps less stop-gradient",
    "rate": "rate with λ {level:g} less none",
    "steps": "{level:,} steps less {base:,}",
    "dropout": "dropout {level:g} less none",
}
History = Mapping[str, list[tuple[int, float]]]


@dataclass(frozen=True, order=True)
class Cell:
    """The settings of a run, apart from its seed. `memory` is 1 / (1 - tau) in steps, and 0 for the
    stop-gradient. `narrow` is whether the encoder is the factorial's."""

    narrow: bool
    dropout: float
    steps: int
    rate: float
    memory: int

    @property
    def teacher(self) -> str:
        return "stop-gradient" if self.memory == 0 else f"teacher, memory {self.memory:,} steps"


Runs = dict[Cell, dict[int, History]]  # cell -> seed -> metrics


def cell_of(config: Mapping[str, Any], history: History) -> Cell:
    """Returns the cell of a run with this configuration and these metrics."""
    target = config["target"]
    return Cell(
        narrow=config["encoder"]["widths"] == NARROW,
        dropout=float(config["model"]["dropout"]),
        steps=history["val/skill"][-1][0],
        rate=float(config["loss"]["lambda_rate"]),
        memory=round(memory_of_tau(target["tau"])) if target["name"] == "ema" else 0,
    )


def read(runs_dir: Path) -> Runs:
    """Returns the completed runs with recipe=predictive. Raises SystemExit for two runs of one cell
    and seed."""
    found: Runs = {}
    for run in find_runs(runs_dir).runs:
        config = run.config
        if config["name"] not in NAMES or config["recipe"]["name"] != "predictive":
            continue
        if run.status.get("state") != "completed":
            continue
        history = history_of(run.path)
        seeds = found.setdefault(cell_of(config, history), {})
        if config["seed"] in seeds:
            raise SystemExit(f"{run.path}: a second run of its cell and seed")
        seeds[config["seed"]] = history
    return dict(sorted(found.items()))


def onset(history: History) -> int | None:
    """Returns the step of the first validation from which on the actions are used at `USED` or
    more, or None if they are not used at the end."""
    return last_stretch(history.get(USE, []), lambda use: use >= USED)


def last(history: History, key: str) -> float | None:
    """Returns the value of the last validation, or None if that one has none."""
    points = history.get(key, [])
    return points[-1][1] if points and points[-1][0] == history["val/skill"][-1][0] else None


def cells_table(runs: Runs) -> str:
    """Returns one row for each cell: the metrics at the end, and the onset of action use."""
    titles = " | ".join(title for title, *_ in COLUMNS)
    lines = [f"| target | λ | dropout | steps | seeds | {titles} | actions used from step |"]
    lines.append("|---" * (len(COLUMNS) + 6) + "|")
    for cell, seeds in runs.items():
        settings = [cell.teacher, f"{cell.rate:g}", f"{cell.dropout:g}", f"{cell.steps:,}"]
        cells = [
            mean([v for h in seeds.values() if (v := last(h, key)) is not None], digits)
            for _, key, digits in COLUMNS
        ]
        row = [*settings, str(len(seeds)), *cells, onsets([onset(h) for h in seeds.values()])]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def onsets(steps: list[int | None]) -> str:
    """Returns the first and the last onset over seeds, and how many seeds have none."""
    used = sorted({step for step in steps if step is not None})
    first_and_last = " to ".join(f"{step:,}" for step in dict.fromkeys([*used[:1], *used[-1:]]))
    never = f"never in {steps.count(None)}" if None in steps else ""
    return ", ".join(filter(None, [first_and_last, never]))


def effects_table(runs: Runs) -> str:
    """Returns what each setting changes: differences of the end values between cells that differ in
    it alone, averaged over these pairs and paired by seed, with 95 % t intervals."""
    lines = [
        "| effect | pairs of cells | seeds | use of the actions | relative action R² |",
        "|---|---|---|---|---|",
    ]
    for factor, title in FACTORS.items():
        levels = sorted({getattr(cell, factor) for cell in runs})
        for level in levels[1:]:
            to_base: dict[str, Any] = {factor: levels[0]}
            pairs = [
                (cell, other)
                for cell in runs
                if getattr(cell, factor) == level and (other := replace(cell, **to_base)) in runs
            ]
            if not pairs:
                continue
            arms = [list(cells) for cells in zip(*pairs, strict=True)]
            sides = {key: [_means(cells, runs, key) for cells in arms] for key in (USE, RELATIVE)}
            seeds = len(sides[USE][0].keys() & sides[USE][1].keys())
            texts = [_difference(*side) for side in sides.values()]
            name = title.format(level=level, base=levels[0])
            lines.append(f"| {name} | {len(pairs)} | {seeds} | {' | '.join(texts)} |")
    return "\n".join(lines)


def _difference(a: Mapping[int, float], b: Mapping[int, float]) -> str:
    """Returns the mean difference with its interval, or without one for a single seed."""
    found = paired_difference(a, b)
    if found is not None:
        return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
    return "".join(f"{a[s] - b[s]:+.2f}" for s in sorted(a.keys() & b.keys()))


def _means(cells: list[Cell], runs: Runs, key: str) -> dict[int, float]:
    """Returns seed -> mean of the metric over the cells, for seeds that all cells have. A missing
    use of the actions counts as 0: nothing of the action is in the features."""
    seeds = set.intersection(*[set(runs[c]) for c in cells])
    return {s: sum(last(runs[c][s], key) or 0.0 for c in cells) / len(cells) for s in sorted(seeds)}


def draw(runs: Runs, path: Path) -> None:
    """Draws the use of the actions and the relative action R² over training steps: one line for
    each cell (mean over seeds), solid with the rate and dashed without."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cells = [c for c in runs if c.narrow and c.dropout == 0]
    budgets = sorted({c.steps for c in cells})
    figure, axes = plt.subplots(2, len(budgets), figsize=(5.2 * len(budgets), 7), squeeze=False)
    memories = sorted({c.memory for c in cells})
    colours = dict(zip(memories, ("#b03a00", "#c9a000", "#00704f", "#1f4e9c"), strict=False))
    for column, steps in enumerate(budgets):
        for row, (title, key) in enumerate(
            (("use of the actions", USE), ("relative action R²", RELATIVE))
        ):
            axis = axes[row][column]
            for cell in (c for c in cells if c.steps == steps):
                points: dict[int, list[float]] = {}
                for history in runs[cell].values():
                    for step, value in history.get(key, []):
                        points.setdefault(step, []).append(value)
                x = sorted(points)
                axis.plot(
                    x,
                    [sum(points[s]) / len(points[s]) for s in x],
                    color=colours[cell.memory],
                    linestyle="-" if cell.rate else "--",
                    label=f"{cell.teacher}, " + (f"λ {cell.rate:g}" if cell.rate else "no rate"),
                )
            axis.set_ylim(-0.05, 1.05)
            axis.set_title(f"{title}, runs of {steps:,} steps", fontsize=10)
            axis.set_xlabel("optimiser step")
            axis.grid(color="0.92")
            for side in ("top", "right"):
                axis.spines[side].set_visible(False)
    axes[1][0].legend(fontsize=7, frameon=False, loc="lower right")  # has every cell
    save_figure(figure, path, dpi=110)
    plt.close(figure)


def tables(runs: Runs) -> dict[str, str]:
    """Returns the tables of the document by the names of their marks."""
    narrow = {c: s for c, s in runs.items() if c.narrow}
    wide = {c: s for c, s in runs.items() if not c.narrow}
    return {
        "factorial": cells_table(narrow),
        "effects": effects_table(narrow),
        "wide": cells_table(wide),
    }


def main() -> None:
    args = arguments(__doc__ or "")
    runs = read(args.runs_dir)
    if not runs:
        raise SystemExit(f"no finished run with recipe=predictive under {args.runs_dir}")
    write_tables(tables(runs), args.out)
    if args.figure is not None:
        draw(runs, args.figure)


if __name__ == "__main__":
    main()
