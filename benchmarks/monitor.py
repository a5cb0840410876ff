"""Measures what the monitor costs in a plain loop: the share of a step, at its default cadence.

    python benchmarks/monitor.py [--rounds 3] [--width 8] [--threads 1] [--json PATH]

VICReg with a small ResNet on random images of 16 pixels, batches of 256. Stretches of 200 steps
without and with `monitor.update` alternate, so that a busy machine slows both. A stretch has one
measurement of 2,048 samples. Figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch import nn

from jepa_lab import Monitor
from jepa_lab.losses.vicreg import vicreg
from jepa_lab.networks.encoders import ResNetSmall

BATCH = 256


def stretch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    first: int,
    steps: int,
    monitor: Monitor | None,
) -> tuple[float, float]:
    """Returns the wall and the processor seconds of a step, a mean over so many steps."""
    start, cpu = time.perf_counter(), time.process_time()
    for step in range(first, first + steps):
        x = torch.randn(BATCH, 3, 16, 16)
        z, other = net(x), net(x + 0.1)
        loss = vicreg(z, other).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if monitor is not None:
            monitor.update(step, {"embedding": z}, loss=loss)
    return (time.perf_counter() - start) / steps, (time.process_time() - cpu) / steps


def measure(rounds: int, width: int) -> dict[str, float]:
    """Returns milliseconds of a step without and with the monitor, and of a measurement."""
    torch.manual_seed(0)
    net = ResNetSmall(3, (width, 2 * width, 4 * width))
    optimizer, monitor = torch.optim.SGD(net.parameters(), lr=1e-3), Monitor()
    stretch(net, optimizer, 0, 3, None)  # warm-up
    times: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
    for number in range(rounds):
        first = number * monitor.every
        times["without"].append(stretch(net, optimizer, first, monitor.every, None))
        times["with"].append(stretch(net, optimizer, first, monitor.every, monitor))
    wall, cpu = (
        {name: 1e3 * statistics.median(t[i] for t in found) for name, found in times.items()}
        for i in (0, 1)
    )
    own = 1e3 * monitor.seconds / rounds
    return {
        "step_ms": wall["without"],
        "step_cpu_ms": cpu["without"],
        "monitored_ms": wall["with"],
        "monitored_cpu_ms": cpu["with"],
        "ratio_cpu": cpu["with"] / cpu["without"],
        "measurement_ms": own,
        "share": own / (monitor.every * wall["without"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=8, help="channels of the first stage")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = measure(args.rounds, args.width)
    print(
        f"step {found['step_ms']:.1f} ms ({found['step_cpu_ms']:.1f} ms of a processor), with the"
        f" monitor {found['monitored_ms']:.1f} ms ({found['monitored_cpu_ms']:.1f}), ratio"
        f" {found['ratio_cpu']:.3f}; a measurement {found['measurement_ms']:.0f} ms,"
        f" {100 * found['share']:.2f} % of {Monitor().every} steps"
    )
    if args.json:
        args.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
