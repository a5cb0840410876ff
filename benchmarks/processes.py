"""Measures a training step while another process trains beside it, by the way OpenMP's threads
wait.

    python benchmarks/processes.py [--steps 20] [--rounds 3] [--json PATH]

Each row is one step of a small ResNet on digits, batches of 256: alone, and beside a second process
that does the same. `spinning` is OpenMP's own default, `asleep` is OMP_WAIT_POLICY=PASSIVE. `short`
is GOMP_SPINCOUNT=1000, which every command of jepa-lab sets: threads spin shortly, then sleep.
`one thread` is `hardware.threads=1`. Rows alternate within a round. Figures are medians over the
rounds. The checksum of the weights has to be the same for all ways to wait.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

POLICIES = {
    "spinning": {},
    "asleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "short": {"GOMP_SPINCOUNT": "1000"},
    "one thread": {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"},
}
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
STEP = """
import json, sys, time, torch
from jepa_lab.networks.encoders import ResNetSmall
torch.manual_seed(0)
net = ResNetSmall(1, (32, 64, 128))
optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
def run(steps):
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        loss = net(torch.randn(256, 1, 8, 8)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps
run(3)
wall, cpu = run(int(sys.argv[1]))
weights = float(sum(p.detach().double().sum() for p in net.parameters()))
print(json.dumps([1e3 * wall, 1e3 * cpu, weights]))
"""


def measure(policy: str, processes: int, steps: int) -> list[float]:
    """Returns the wall and the processor milliseconds of a step of the first process, and the sum
    of its weights."""
    own = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    env = {**own, **POLICIES[policy]}
    command = [sys.executable, "-c", STEP, str(steps)]
    started = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    answers = [process.communicate()[0] for process in started]
    found: list[float] = json.loads(answers[0])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = [(policy, n) for n in (1, 2) for policy in POLICIES]
    found: dict[tuple[str, int], list[list[float]]] = {row: [] for row in rows}
    load = os.getloadavg()[0]
    for _ in range(args.rounds):
        for row in rows:
            found[row].append(measure(*row, args.steps))
    print(f"load before: {load:.1f} on {os.cpu_count()} cores\n")
    print(f"{'threads':<12}{'processes':>10}{'wall ms':>10}{'cpu ms':>10}  weights")
    table = []
    for (policy, n), times in found.items():
        wall, cpu = (statistics.median(t[i] for t in times) for i in (0, 1))
        print(f"{policy:<12}{n:>10}{wall:>10.1f}{cpu:>10.1f}  {times[0][2]!r}")
        table.append({"threads": policy, "processes": n, "wall_ms": wall, "cpu_ms": cpu})
    if args.json:
        args.json.write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
