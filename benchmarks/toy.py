"""Measures seconds, CPU seconds and memory of the linear BYOL toy.

    python benchmarks/toy.py [--quick] [--runs N ...] [--threads 2] [--json PATH]

Every row is a fresh process with a fresh folder of runs: 2,000 steps, logged every 10, of 1, 8, 64,
256 and 1,024 runs (64 is the published grid), median of 3 up to 64. `training` is the time that the
command itself reports: steps, measurements and checkpoints in between. `whole` is the time of the
process, including imports, the files of every run and the figures. `CPU` is the time that its
threads computed, which depends less on what else the machine does. The time of a loop of single
runs is the first row times the number of runs. It is not measured for more runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

EIGHT = "seeds=[0,1,2,3,4,5,6,7]"
CASES: list[tuple[int, int, list[str]]] = [  # runs, repeats, overrides
    (1, 3, ["+experiment=linear_byol", "mom_pred=0.9", "mom_enc=0.9"]),
    (
        8,
        3,
        ["+experiment=linear_byol_sweep", "seed=0", "batch_size=64", "tau_logspace=[1e-4,1e-1,2]"],
    ),
    (64, 3, ["+experiment=linear_byol_sweep"]),
    (256, 1, ["+experiment=linear_byol_sweep", EIGHT]),
    (
        1024,
        1,
        [
            "+experiment=linear_byol_sweep",
            EIGHT,
            "lr_pred_logspace=[1e-5,1e-2,8]",
            "tau_logspace=[1e-4,1e-1,8]",
        ],
    ),
]
# runs -> seconds of training and of the whole process, and CPU seconds, on two idle cores
TARGETS = {64: (6.0, 16.0, 22.0), 1024: (75.0, 100.0, 90.0)}
MEMORY = 1500.0  # MB


@dataclass(frozen=True)
class Measured:
    """Seconds of the process, seconds of training in it, CPU seconds of the process, and its
    largest resident memory in MB."""

    whole: float
    training: float
    cpu: float
    memory: float


def measure(overrides: list[str], threads: int) -> Measured:
    """Runs one command in its own process. Raises CalledProcessError if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "jepa_lab",
            *overrides,
            f"runs_dir={folder}",
            f"hardware.threads={threads}",
        ]
        start = time.perf_counter()
        with open(Path(folder) / "output", "w+") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            whole = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                output.seek(0)
                raise subprocess.CalledProcessError(process.returncode, command, output.read())
        found = sorted(Path(folder).glob("linear_byol*/grid-*/summary.json"))
        found = found or sorted(Path(folder).glob("linear_byol/*/summary.json"))
        training = float(json.loads(found[0].read_text(encoding="utf-8"))["wall_s"])
    in_mb = 1e6 if sys.platform == "darwin" else 1e3
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(whole, training, cpu, usage.ru_maxrss / in_mb)


def middle(found: list[Measured]) -> Measured:
    """Returns the median of each time, and the largest memory."""
    return Measured(
        statistics.median(m.whole for m in found),
        statistics.median(m.training for m in found),
        statistics.median(m.cpu for m in found),
        max(m.memory for m in found),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="up to 64 runs, each once")
    parser.add_argument("--runs", type=int, nargs="+", help="only the rows of these numbers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the values to this file")
    args = parser.parse_args()
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    print(
        f"torch {torch.__version__}, {os.cpu_count()} cores, {args.threads} threads, {load} before"
        " the start"
    )
    heads = ["training s", "whole s", "CPU s", "ms a run", "loop / ours", "memory MB", "target"]
    print(f"{'runs':>5}" + "".join(f"{head:>13}" for head in heads))
    results: dict[int, Measured] = {}
    for runs, repeats, overrides in CASES[: 3 if args.quick else None]:
        if args.runs and runs not in args.runs:
            continue
        m = results[runs] = middle(
            [measure(overrides, args.threads) for _ in range(1 if args.quick else repeats)]
        )
        loop = runs * results[1].training / m.training if 1 in results else float("nan")
        cells = [
            f"{m.training:.2f}",
            f"{m.whole:.1f}",
            f"{m.cpu:.1f}",
            f"{1e3 * m.training / runs:.1f}",
            f"{loop:.1f}",
            f"{m.memory:.0f}",
        ]
        print(
            f"{runs:>5}" + "".join(f"{cell:>13}" for cell in [*cells, _verdict(runs, m)]),
            flush=True,
        )
    if {1, 64} <= results.keys():
        times = 64 * results[1].whole / results[64].whole
        print(
            f"64 single commands (one measured, times 64) would take {times:.0f} times the whole of"
            " one grid of 64"
        )
    if args.json:
        args.json.write_text(json.dumps({runs: asdict(m) for runs, m in results.items()}, indent=2))


def _verdict(runs: int, m: Measured) -> str:
    if runs not in TARGETS:
        return ""
    training, whole, cpu = TARGETS[runs]
    met = m.training <= training and m.whole <= whole and m.cpu <= cpu and m.memory <= MEMORY
    return f"{training:.0f}, {whole:.0f}, {cpu:.0f}: {'met' if met else 'missed'}"


if __name__ == "__main__":
    main()
