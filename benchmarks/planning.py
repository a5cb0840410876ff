"""Measures how long a sweep is planned: composed, checked and listed, before any job runs.

    python benchmarks/planning.py [--jobs 1 10 60 1000] [--alone 60] [--rounds 3]

Each row is one `python -m jepa_lab.check` in a process of its own, start and imports included, for
one job or a sweep over seeds. `one by one` lets Hydra compose every job and checks each on its own;
a sweep that runs did this twice, a check once. It is measured for at most `--alone` jobs, in turns
with ours, and has to list the same runs. Rows alternate within a round, and figures are medians
over the rounds. Rows of more than 100 jobs run once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch

ONCE = 100  # above so many jobs, a row runs in the first round only
OURS = "from jepa_lab.check import main; main()"
# without what the jobs of a sweep share
ALONE = """
from jepa_lab.config import shared_check
from jepa_lab.sweep import composition
composition.LEAST = float("inf")
shared_check._Known.of = classmethod(lambda *given: None)
from jepa_lab.check import main
main()
"""


def measure(program: str, jobs: int, folder: str) -> tuple[list[float], str]:
    """Returns [processor seconds, wall seconds, highest memory in MB] of a check, and its output.
    Raises RuntimeError if it fails."""
    line = ["+experiment=teacherless_b", f"runs_dir={folder}"]
    line += ["-m", f"seed=range(0,{jobs})"] if jobs > 1 else []
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", program, *line], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(line)} failed: {text}")
    wall = time.perf_counter() - started
    return [used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024], text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 10, 60, 1000])
    parser.add_argument("--alone", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rows = [(jobs, "ours", OURS) for jobs in args.jobs]
    rows += [(jobs, "one by one", ALONE) for jobs in args.jobs if jobs <= args.alone]
    found: dict[tuple[int, str], list[tuple[list[float], str]]] = {}
    print(
        f"torch {torch.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before"
        " the start",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            for jobs, way, program in rows:
                if turn == 0 or jobs <= ONCE:
                    result = measure(program, jobs, folder)
                    found.setdefault((jobs, way), []).append(result)
    print(f"{'jobs':>5}  {'way':<12}{'cpu s':>8}{'wall s':>8}{'memory MB':>11}")
    for (jobs, way), results in sorted(found.items()):
        figures = [figures for figures, _ in results]
        cpu, wall, memory = map(statistics.median, zip(*figures, strict=True))
        print(f"{jobs:>5}  {way:<12}{cpu:>8.1f}{wall:>8.1f}{memory:>11.0f}")
        if results[0][1] != found[jobs, "ours"][0][1]:
            raise SystemExit(f"{jobs} jobs: the two ways list other runs")
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
