"""Prints what a sweep costs: each figure as it was, its goal, and as it is now.

    python benchmarks/goals.py [--only TEXT ...] [--rounds 3]

`before` is the state before the work on these figures began, on a shared machine of the same kind.
`now` is measured by this command, as the median of the rounds, in the way of the script that the
last column names. Seconds are CPU seconds. Ratios compare two measurements in turns. `--only`
measures the rows whose names contain one of the texts.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch

import arc_tokens
import own_images
import planning
import processes
import thousand_jobs
import toy
import training
import views
from jepa_lab.cli.compose import checked
from jepa_lab.studies.run import train

DISK = ("+experiment=seq_jepa_baseline", "tier=smoke", "preflight=off", "hardware.threads=1")


@dataclass(frozen=True)
class Row:
    """A figure: its name and unit, its value before, its goal, the function that measures it, and
    the script with the details. `once` stands for long measurements."""

    name: str
    before: float
    goal: float
    measure: Callable[[], float]
    script: str
    more_is_better: bool = False
    once: bool = False

    def met(self, now: float) -> bool:
        """Returns whether the goal is reached."""
        return now >= self.goal if self.more_is_better else now <= self.goal


def beside_another() -> float:
    """Returns the wall time of a step beside another process, by that of one thread beside one."""
    ours, one = (processes.measure(policy, 2, 20)[0] for policy in ("short", "one thread"))
    return ours / one


def check(jobs: int) -> float:
    """Returns the CPU seconds of planning a sweep."""
    with tempfile.TemporaryDirectory() as folder:
        return planning.measure(planning.OURS, jobs, folder)[0][0]


def job() -> float:
    """Returns the CPU seconds of a one-step job of a sweep."""
    with tempfile.TemporaryDirectory() as folder:
        first, last = thousand_jobs.sweep(20, folder, [5, 20])[-2:]
    return (last.cpu - first.cpu) / (last.done - first.done)


def disk() -> float:
    """Returns the MB of a completed run of a sweep on the digits. A single run that failed also
    keeps the states from which a branch can start."""
    with tempfile.TemporaryDirectory() as folder:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            train(checked([*DISK, f"runs_dir={folder}"], None), brief=True)
        return sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / 1e6


@cache
def shares() -> dict[str, float]:
    """Returns the shares of probes and validations in a smoke run, in per cent."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        found = training.smoke_run()
    return {name: 100 * found[f"{name}_share"] for name in ("probes", "validation")}


def images() -> float:
    """Returns the MB that 128 of 200,000 images in a .npz take at their peak."""
    with tempfile.TemporaryDirectory() as top:
        cases = own_images.write(Path(top), 200_000, 0, 32)
        kind, path = next(iter(cases.values()))
        return own_images.measure(kind, path, 32, 128)[2]


def affine() -> float:
    """Returns our rate of affine views by kornia's, in batches of 256 with one thread. NaN where
    kornia is not installed."""
    torch.set_num_threads(1)
    row = views.bench("affine", 3, 32, True)[0]
    return float(row.get("ratio_kornia", float("nan")))


def arc(case: int) -> float:
    """Returns our rate of tokenised ARC tasks by that of plain Python."""
    torch.set_num_threads(1)
    _, name, options, plain = arc_tokens.CASES[case]
    return arc_tokens.bench_tokens(arc_tokens.real_tasks(), name, options, plain)["ratio"]


@cache
def grid() -> toy.Measured:
    """Returns the cost of 1,024 runs of the toy."""
    return toy.measure(toy.CASES[-1][2], 2)


ROWS = (
    Row("a step beside another process, by one thread's", 13, 1.3, beside_another, "processes"),
    Row("planning 10 jobs, s", 10.8, 5, partial(check, 10), "planning"),
    Row("planning 1,000 jobs, s", 440, 60, partial(check, 1000), "planning", once=True),
    Row("check of one job, s", 7.7, 3, partial(check, 1), "planning"),
    Row("a one-step job of a sweep, s", 6.8, 1.5, job, "thousand_jobs"),
    Row("a completed run of a sweep on disk, MB", 70.8, 12, disk, "goals", once=True),
    Row("probes, % of a step", 12.9, 6, lambda: shares()["probes"], "training", once=True),
    Row("validation, % of a run", 15, 8, lambda: shares()["validation"], "training", once=True),
    Row("128 of 200,000 images, MB", 2400, 100, images, "own_images", once=True),
    Row("affine views, by kornia", 2.3, 4, affine, "views", more_is_better=True),
    Row("ARC slots, by plain Python", 13.5, 20, partial(arc, 1), "arc_tokens", more_is_better=True),
    Row(
        "ARC patches, by plain Python", 7.1, 20, partial(arc, 2), "arc_tokens", more_is_better=True
    ),
    Row("1,024 runs of the toy, s", 137, 90, lambda: grid().cpu, "toy", once=True),
    Row("1,024 runs of the toy, MB", 1410, 1000, lambda: grid().memory, "toy", once=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rows = [row for row in ROWS if any(text in row.name for text in args.only)]
    if not rows:
        sys.exit(f"--only {' '.join(args.only)}: no row with such a name")
    load = os.getloadavg()[0]
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, load {load:.1f} before the start")
    print(f"{'figure':<46}{'before':>9}{'goal':>7}{'now':>9}  goal    by")
    for row in rows:
        now = statistics.median(row.measure() for _ in range(1 if row.once else args.rounds))
        met = "-" if math.isnan(now) else "met" if row.met(now) else "missed"
        cells = "".join(f"{v:>{w}.4g}" for v, w in ((row.before, 9), (row.goal, 7), (now, 9)))
        print(f"{row.name:<46}{cells}  {met:<8}{row.script}.py", flush=True)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
