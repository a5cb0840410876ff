"""Measures a sweep of many one-step runs in one process, from its first job to its last.

    python benchmarks/thousand_jobs.py [--jobs 1000] [--at 10 100 1000]

The sweep is an ordinary command. When a job starts, its line on stderr is the moment at which this
process reads the memory, the open files and the processor time of the command. Seconds are the mean
of the jobs since the row before. The command ends with an error if memory or open files of the last
row exceed those of the row before by more than a tenth.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

ONE_STEP = [
    *("+experiment=seq_jepa_baseline", "tier=smoke", "dataset.epochs=1"),
    *("dataset.train_size=64", "dataset.val_size=50", "hardware.threads=1"),
]
JOB = re.compile(r"job (\d+), ")
GROWTH = 1.1  # above this ratio between the last two rows, something grows


@dataclass(frozen=True)
class Reading:
    """A running command before a job: the jobs done, its memory in MB, its open files, and its
    processor and wall seconds since it started."""

    done: int
    memory: float
    files: int
    cpu: float
    wall: float


def read(pid: int, done: int, started: float) -> Reading:
    """Returns the reading of a process now."""
    place = Path("/proc") / str(pid)
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    pages = int((place / "statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return Reading(done, memory, len(os.listdir(place / "fd")), cpu, time.monotonic() - started)


def sweep(jobs: int, folder: str, at: list[int]) -> list[Reading]:
    """Runs the sweep below `folder`. Returns the readings after the first job and after each number
    of jobs in `at`. Raises RuntimeError if the sweep fails."""
    command = [sys.executable, "-m", "jepa_lab", "-m", *ONE_STEP, f"runs_dir={folder}"]
    # one job more, whose start is the moment of the last reading
    line = [*command, f"seed=range(0,{jobs + 1})"]
    log = Path(folder) / "stdout"
    readings = []
    started = time.monotonic()
    with (
        log.open("w") as out,
        subprocess.Popen(line, stdout=out, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr is not None
        for text in process.stderr:
            found = JOB.match(text)
            if found and int(found[1]) - 1 in (1, *at):
                readings.append(read(process.pid, int(found[1]) - 1, started))
    if process.returncode or len(readings) < 2:
        raise RuntimeError(f"the sweep ended with code {process.returncode}: {log.read_text()}")
    return readings


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--at", type=int, nargs="+", default=[10, 100, 200, 400, 600, 800, 1000])
    args = parser.parse_args()
    at = sorted({n for n in args.at if 1 < n < args.jobs} | {args.jobs})
    print(
        f"torch {torch.__version__}, {os.cpu_count()} cores, 1 thread, load"
        f" {os.getloadavg()[0]:.1f} before the start",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        readings = sweep(args.jobs, folder, at)
    print(f"{'jobs':>5}{'cpu s a job':>13}{'wall s a job':>14}{'memory MB':>11}{'open files':>12}")
    for before, now in pairwise(readings):
        n = now.done - before.done
        print(
            f"{now.done:>5}{(now.cpu - before.cpu) / n:>13.2f}"
            f"{(now.wall - before.wall) / n:>14.2f}{now.memory:>11.0f}{now.files:>12}"
        )
    print(
        f"load {os.getloadavg()[0]:.1f} at the end; {readings[0].cpu:.1f} CPU s to the second job"
    )
    before, last = readings[-2:]
    if last.memory > GROWTH * before.memory or last.files > GROWTH * before.files:
        raise SystemExit("memory or open files grow")


if __name__ == "__main__":
    main()
