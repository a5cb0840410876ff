"""Writes the tables of docs/recipes.md.

    python studies_docs/recipes.py {rate,optimiser,search,main,rows,demo} [--seeds 3] [--jobs 2]
                                   [--out FILE]

rate, optimiser and search are sweeps on the digits, judged on the validation images. rate chose the
values in conf/recipe/tuned.yaml, search those in conf/recipe/predictive.yaml. main and rows compare
the tuned recipe with raw pixels, a random network and a supervised network, on the test images and
with the same probes. demo is what `make demo` trains, on the test images. Every row is a set of
ordinary runs in --runs-dir, so that a second call computes only missing runs. Values are means over
seeds with the half-width of a 95 % t interval.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from documents import mean

B = "+experiment=teacherless_b"
LONG = [B, "dataset.epochs=120"]  # 2,040 steps, twice the quick budget
BRIEF = [  # of the search: no gradients, no factor sweeps
    "monitor.gradients_every=null",
    "monitor.features_every=null",
    "monitor.rollout_steps=0",
    "monitor.sweep_anchors=0",
]
EVERY_20, EVERY_40 = ([*BRIEF, f"monitor.every_epochs={n}"] for n in (20, 40))
NARROW = ["model.dropout=0", "encoder.widths=[16,32,64]"]
TABLES: dict[str, list[tuple[str, list[str]]]] = {
    "rate": [
        ("no rate", ["+experiment=seq_jepa_stopgrad"]),
        *[
            (
                f"{target}, {norm}, λ {weight}",
                [
                    B,
                    f"loss.rate_target={target}",
                    f"loss.rate_normalise={norm}",
                    f"loss.lambda_rate={weight}",
                ],
            )
            for target, norm in (
                ("z", "none"),
                ("z", "rows"),
                ("both", "none"),
                ("z_agg", "rows"),
                ("z_agg", "none"),
            )
            for weight in ("0.0003", "0.001", "0.003", "0.01")
        ],
    ],
    "optimiser": [
        ("as in the recipe", [B]),
        ("optim.lr 3e-4", [B, "optim.lr=3e-4"]),
        ("optim.lr 3e-3", [B, "optim.lr=3e-3"]),
        ("pre-norm blocks", [B, "model.norm_first=true"]),
        ("no clipping", [B, "optim.clip=null"]),
        ("constant learning rate", [B, "optim.schedule=constant"]),
        ("no warm-up", [B, "optim.warmup=0"]),
        ("weight decay 0.05", [B, "optim.weight_decay=0.05"]),
        ("dropout 0", [B, "model.dropout=0"]),
    ],
    "search": [
        ("tuned", [*LONG, *EVERY_40]),
        ("optim.lr 3e-3", [*LONG, *EVERY_40, "optim.lr=3e-3"]),
        (
            "8 × 8 pixels, dropout 0, 4,080 steps",
            [B, "dataset.epochs=240", *EVERY_40, "dataset.image_size=8", "model.dropout=0.0"],
        ),
        ("dropout 0", [*LONG, *EVERY_20, "model.dropout=0.0"]),
        ("dropout 0, λ 0.001", [*LONG, *EVERY_20, "model.dropout=0.0", "loss.lambda_rate=1e-3"]),
        ("dropout 0, narrow", [*LONG, *EVERY_20, *NARROW, "loss.lambda_rate=3e-3"]),
        ("dropout 0, λ 0.001, narrow", [*LONG, *EVERY_20, *NARROW, "loss.lambda_rate=1e-3"]),
    ],
    "main": [("B: stop-gradient and rate", [B])],
    "demo": [("B, recipe=predictive, 2,040 steps", [*LONG, "recipe=predictive"])],
    "rows": [
        ("raw pixels", ["+experiment=raw_pixels"]),
        ("random initialisation", ["+experiment=random_init"]),
        ("shared target, no rate", [B, "target=shared", "loss.lambda_rate=0"]),
        ("stop-gradient, no rate", ["+experiment=seq_jepa_stopgrad"]),
        ("supervised", ["+experiment=supervised"]),
    ],
}
COLUMNS = [
    ("class from z_agg", "probe/class_from_z_agg", 3),
    ("class from z", "probe/class_from_z", 3),
    ("action R² from z", "probe/action_from_z", 3),
    ("relative action R²", "probe/relative_action_from_z", 3),
    ("skill", "skill", 2),
    ("action gain", "action_gain", 4),
    ("rank of z_agg", "z_agg/effective_rank", 1),
    ("rank of z", "z/effective_rank", 1),
]
OF_PREDICTION = [  # further columns of search and demo
    ("prediction loss", "loss/prediction", 3),
    ("use of the actions", "action_use", 2),
]


def one_run(overrides: list[str]) -> tuple[dict[str, float], str]:
    """Returns the last metrics and the verdict of one run. Meant to be called in its
    own process."""
    from jepa_lab.cli.compose import checked
    from jepa_lab.studies.run import train

    config = checked(overrides)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        result = train(config)
    return result.metrics, str(result.verdict["status"])


def table(which: str, runs: dict[str, list[tuple[dict[str, float], str]]]) -> str:
    """Returns the table as Markdown."""
    split = "test" if which in ("main", "rows", "demo") else "val"
    columns = [*COLUMNS, *(OF_PREDICTION if which in ("search", "demo") else [])]
    lines = ["| run | " + " | ".join(title for title, *_ in columns) + " | verdicts |"]
    lines.append("|---" * (len(columns) + 2) + "|")
    for name, results in runs.items():
        cells = [
            mean([m[f"{split}/{key}"] for m, _ in results if f"{split}/{key}" in m], digits)
            for _, key, digits in columns
        ]
        verdicts = sorted({v: sum(w == v for _, w in results) for _, v in results}.items())
        lines.append(
            f"| {name} | "
            + " | ".join(cells)
            + " | "
            + ", ".join(f"{n} {v}" for v, n in verdicts)
            + " |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=list(TABLES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--runs-dir", default="runs")
    parser.add_argument("--out", type=Path, help="also write the table here")
    parser.add_argument("overrides", nargs="*", help="applied to every run, as in tier=baseline")
    args = parser.parse_args()
    common = ["hardware=cpu", "hardware.threads=1", f"runs_dir={args.runs_dir}", *args.overrides]
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        jobs = {
            name: [pool.submit(one_run, [*overrides, f"seed={seed}", *common]) for seed in seeds]
            for name, overrides in TABLES[args.table]
        }
        text = table(
            args.table, {name: [job.result() for job in row] for name, row in jobs.items()}
        )
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
