"""Writes the tables and the figure of docs/results/teacherless.md from finished runs. Trains
nothing.

    python studies_docs/teacherless.py --runs-dir runs [--out docs/results/teacherless.md]
                                       [--figure docs/images/...png]

Reads the summaries and ledgers of the experiments seq_jepa_*, teacherless_* and rate_factorial
under --runs-dir (the document lists the commands that train them). Writes the tables between the
marks `<!-- NAME -->` and `<!-- end -->` of the document. Values are those of the test images and
the last weights: mean ± half-width of a 95 % t interval over seeds.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from documents import arguments, mean, save_figure, write_tables
from jepa_lab.diagnosis import judge
from jepa_lab.ledger.parquet import history_of
from jepa_lab.report.comparison.factorial import main_effects
from jepa_lab.report.comparison.statistics import holm, non_inferior, paired_difference
from jepa_lab.report.comparison.table import compare

CONTROL = "EMA teacher, no rate (control)"
NAMES = {
    "seq_jepa_baseline": CONTROL,
    "seq_jepa_stopgrad": "stop-gradient, no rate",
    "seq_jepa_shared": "shared target, no rate",
    "teacherless_a": "A: EMA teacher and rate",
    "teacherless_b": "B: stop-gradient and rate",
    "teacherless_c": "C: both directions",
    "teacherless_d": "D: DINO and rate",
    "teacherless_e": "E: CRATE aggregator and rate",
}
CLASS, ACTION, TURN = (
    "test/probe/class_from_z_agg",
    "test/probe/action_from_z",
    "test/probe/relative_action_from_z",
)
COLUMNS = [
    ("class from z_agg", CLASS, 3),
    ("class from z", "test/probe/class_from_z", 3),
    ("action R²", ACTION, 3),
    ("relative action R²", TURN, 3),
    ("within share of z_agg", "test/z_agg/within_share", 3),
    ("rank of z", "test/z/effective_rank", 1),
    ("rank of z_agg", "test/z_agg/effective_rank", 1),
]
MARGINS = {CLASS: 0.02, ACTION: 0.05, TURN: 0.05}
# arm -> seed -> (last metrics, verdict, folder)
Runs = dict[str, dict[int, tuple[dict[str, float], str, Path]]]


def label(config: dict[str, Any]) -> str:
    """Returns the arm of a run: its experiment and the settings that differ from it."""
    name, loss, extra = NAMES[config["name"]], config["loss"], []
    rated = config["name"].startswith("teacherless")
    if rated and loss["lambda_rate"] == 0:
        extra.append("no rate")
    if config["name"] == "teacherless_d" and loss["form"] != "dino":
        extra.append(
            {"dino_headless": "without heads", "sharpened": "the published mismatch"}[loss["form"]]
        )
    if config["name"] == "teacherless_c" and config["target"]["name"] != "ema":
        extra.append("stop-gradient")
    if config["name"] != "teacherless_c" and config["dataset"]["first_view"] == "random":
        extra.append("random first view")
    if config["name"] == "teacherless_e" and config["model"]["predictor"] == "crate":
        extra.append("predictor too")
    name = name.removesuffix(" and rate") if "no rate" in extra else name
    return ", ".join([name, *extra])


def read(runs_dir: Path) -> Runs:
    """Returns the completed runs of the arms. Raises SystemExit for two runs of one arm
    and seed."""
    found: Runs = {}
    for path in sorted(p for name in NAMES for p in runs_dir.glob(f"{name}/*/summary.json")):
        config = yaml.safe_load((path.parent / "config.yaml").read_text(encoding="utf-8"))
        summary = json.loads(path.read_text(encoding="utf-8"))
        last = {k: v["last"] for k, v in summary["metrics"].items() if v["last"] is not None}
        seeds = found.setdefault(label(config), {})
        if config["seed"] in seeds:
            raise SystemExit(
                f"{path.parent} and {seeds[config['seed']][2]}: two runs of one arm and seed"
            )
        seeds[config["seed"]] = (last, judge(history_of(path.parent)).status, path.parent)
    order = list(NAMES.values())
    return dict(sorted(found.items(), key=lambda item: (order.index(_base(item[0])), len(item[0]))))


def arms_table(runs: Runs) -> str:
    lines = ["| arm | seeds | " + " | ".join(title for title, *_ in COLUMNS) + " | verdicts |"]
    lines.append("|---" * (len(COLUMNS) + 3) + "|")
    for arm, seeds in runs.items():
        cells = [
            mean([m[key] for m, *_ in seeds.values() if key in m], digits)
            for _, key, digits in COLUMNS
        ]
        verdicts = Counter(v for _, v, _ in seeds.values())
        counted = ", ".join(f"{n} {v}" for v, n in sorted(verdicts.items()))
        lines.append(f"| {arm} | {len(seeds)} | " + " | ".join(cells) + f" | {counted} |")
    return "\n".join(lines)


def paired_tables(runs: Runs, control: str = CONTROL) -> str:
    """Returns a table for each metric that has a margin: the difference to the control over shared
    seeds."""
    runs = {arm: seeds for arm, seeds in runs.items() if arm in NAMES.values()}
    blocks = []
    for title, key, digits in COLUMNS:
        if key not in MARGINS:
            continue
        values = {
            arm: {s: m[key] for s, (m, *_) in seeds.items() if key in m}
            for arm, seeds in runs.items()
        }
        found = {
            arm: paired_difference(v, values[control])
            for arm, v in values.items()
            if arm != control
        }
        known = {arm: d for arm, d in found.items() if d is not None}
        adjusted = holm({arm: d.p for arm, d in known.items()})
        lines = [
            f"{title}, margin {MARGINS[key]}:\n",
            (
                "| arm less the control | seeds | difference | p | p Holm | detectable |"
                " non-inferiority |"
            ),
            "|---" * 7 + "|",
        ]
        for arm, d in known.items():
            low, high, mean, det = (
                f"{x:+.{digits}f}" for x in (d.low, d.high, d.mean, d.detectable)
            )
            lines.append(
                f"| {arm} | {d.n} | {mean} [{low}, {high}] | {_p(d.p)} | {_p(adjusted[arm])} |"
                f" {det[1:]} | {non_inferior(d, MARGINS[key])} |"
            )
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


VARIANTS = [  # pairs of arms that are compared, in addition to the control
    ("B: stop-gradient and rate", "A: EMA teacher and rate"),
    ("A: EMA teacher and rate, random first view", "A: EMA teacher and rate"),
    ("C: both directions", "A: EMA teacher and rate, random first view"),
    ("C: both directions, stop-gradient", "C: both directions"),
    ("D: DINO, no rate", "D: DINO and rate"),
    ("D: DINO and rate, without heads", "D: DINO and rate"),
    ("D: DINO and rate, the published mismatch", "B: stop-gradient and rate"),
    ("E: CRATE aggregator and rate", "B: stop-gradient and rate"),
    ("E: CRATE aggregator and rate, predictor too", "E: CRATE aggregator and rate"),
]


def variants_table(runs: Runs) -> str:
    """Returns the differences between arms that differ in one setting, over shared seeds."""
    keys = [(title, key) for title, key, _ in COLUMNS if key in MARGINS]
    lines = [
        "| less | seeds | " + " | ".join(title for title, _ in keys) + " |",
        "|---" * (len(keys) + 2) + "|",
    ]
    for arm, other in VARIANTS:
        if arm not in runs or other not in runs:
            continue
        cells, n = [], 0
        for _, key in keys:
            a, b = ({s: m[key] for s, (m, *_) in runs[x].items() if key in m} for x in (arm, other))
            d = paired_difference(a, b)
            n = d.n if d else 0
            cells.append(f"{d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]" if d else "")
        lines.append(f"| {arm} **less** {other} | {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def gradient_table(runs: Runs) -> str:
    """Returns the gradients that every term sends to the encoder: medians over the second half of
    training, then averaged over seeds."""
    lines = [
        "| arm | gradient of the prediction | of the rate | cosine between them |",
        "|---|---|---|---|",
    ]
    for arm, seeds in runs.items():
        columns = ["train/gradient/prediction", "train/gradient/rate", "train/gradient_cosine/rate"]
        values: list[list[float]] = [[], [], []]
        for *_, folder in seeds.values():
            history = history_of(folder)
            for at, key in enumerate(columns):
                points = [v for _, v in history.get(key, [])]
                if points:
                    values[at].append(statistics.median(points[len(points) // 2 :]))
        if values[1]:
            lines.append(f"| {arm} | " + " | ".join(mean(v, 3) for v in values) + " |")
    return "\n".join(lines) if len(lines) > 2 else "No run has gradient statistics."


def factorial_tables(runs_dir: Path) -> str:
    """Returns the means of the cells, then the main effects, of rate_factorial."""
    folders = [p.parent for p in sorted(runs_dir.glob("rate_factorial/*/summary.json"))]
    comparison = compare(folders)
    cells: dict[tuple[str, str, float], dict[str, list[float]]] = {}
    for run in comparison.rows:
        cell = cells.setdefault(
            (run["target"], run["optim.schedule"], float(run["loss.lambda_rate"])), {}
        )
        for key in (CLASS, ACTION):
            cell.setdefault(key, []).append(run[key])
        cell.setdefault("bad", []).append(float("collapse" in run["verdict"]))
    rates = sorted({rate for *_, rate in cells})
    lines = []
    for title, key in (("class from z_agg", CLASS), ("action R²", ACTION)):
        lines += [
            f"{title}:\n",
            "| target, schedule | " + " | ".join(f"λ {r:g}" for r in rates) + " |",
        ]
        lines.append("|---" * (len(rates) + 1) + "|")
        for target in ("ema", "stopgrad"):
            for schedule in ("constant", "cosine"):
                row = [mean(cells[target, schedule, r][key], 3) for r in rates]
                lines.append(f"| {target}, {schedule} | " + " | ".join(row) + " |")
        lines.append("")
    lines += [
        "| effect, mean over all other settings, by seed | class from z_agg | action R² |",
        "|---|---|---|",
    ]
    effects = main_effects(comparison, [CLASS, ACTION], {"optim.schedule": "constant"})
    differences: dict[tuple[str, str, str], list[str]] = {}
    for e in effects:
        d = e.difference
        differences.setdefault((e.factor, e.level, e.base), []).append(
            f"{d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
        )
    lines += [
        f"| {f} {a} less {b} | " + " | ".join(texts) + " |"
        for (f, a, b), texts in differences.items()
    ]
    bad = sum(sum(cell["bad"]) for cell in cells.values())
    return "\n".join(
        [*lines, "", f"{len(comparison.rows)} runs, {bad:.0f} of them called collapsed."]
    )


def draw(runs: Runs, path: Path) -> None:
    """Draws accuracy and relative action R²: every seed as a dot, the mean as a bar, and the
    control's mean as a line."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    arms = [arm for arm in runs if arm in NAMES.values()]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for axis, (title, key) in zip(
        axes, (("class from z_agg", CLASS), ("relative action R²", TURN)), strict=True
    ):
        axis.axvline(
            statistics.fmean(m[key] for m, *_ in runs[CONTROL].values()), color="0.7", zorder=0
        )
        for at, arm in enumerate(reversed(arms)):
            values = [m[key] for m, *_ in runs[arm].values()]
            colour = (
                "#b03a00" if any("collapse" in v for _, v, _ in runs[arm].values()) else "#00704f"
            )
            axis.plot(values, [at] * len(values), "o", color=colour, alpha=0.45, markeredgewidth=0)
            axis.plot(
                [statistics.fmean(values)] * 2, [at - 0.3, at + 0.3], color=colour, linewidth=2
            )
        axis.set_xlabel(f"{title} on test")
        axis.set_yticks(
            range(len(arms)), [arm.replace(" (control)", "\n(control)") for arm in reversed(arms)]
        )
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
        axis.tick_params(left=False)
        axis.grid(axis="x", color="0.92")
        axis.set_axisbelow(True)
    save_figure(figure, path, dpi=120)
    plt.close(figure)


def main() -> None:
    args = arguments(__doc__ or "")
    runs = read(args.runs_dir)
    if CONTROL not in runs:
        raise SystemExit(f"no finished run of seq_jepa_baseline under {args.runs_dir}")
    tables = {
        "arms": arms_table(runs),
        "paired": paired_tables(runs),
        "variants": variants_table(runs),
        "factorial": factorial_tables(args.runs_dir),
        "gradients": gradient_table(runs),
    }
    write_tables(tables, args.out)
    if args.figure is not None:
        draw(runs, args.figure)


def _base(arm: str) -> str:
    return next(n for n in NAMES.values() if arm == n or arm.startswith(n.split(" and rate")[0]))


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


if __name__ == "__main__":
    main()
