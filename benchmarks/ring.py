"""Measures what the ring of states costs: the seconds of adding states as a share of a run's time,
and the space that the states take.

    python benchmarks/ring.py [--rounds 3]

A seq-JEPA of the usual size trains eight epochs on the digits, with a validation after every epoch.
The seconds within the ring's own code are added up. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch

from jepa_lab.callbacks.state_ring import StateRing, states_in
from jepa_lab.cli.compose import checked
from jepa_lab.ledger.read import read_json
from jepa_lab.studies.run import train

LINE = ("+experiment=seq_jepa_baseline", "tier=smoke", "keep=all", "figures=never", "preflight=off")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = [measure() for _ in range(parser.parse_args().rounds)]
    spent, wall, states, megabytes = (statistics.median(row) for row in zip(*rounds, strict=True))
    load = os.getloadavg()[0]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {load:.1f}")
    print(f"{states:.0f} states of {megabytes / states:.0f} MB, {megabytes:.0f} MB in all")
    print(f"{1e3 * spent:.1f} ms of {wall:.1f} s: {100 * spent / wall:.3f} % of the run's time")


def measure() -> tuple[float, float, float, float]:
    """Returns the seconds in the ring, those of the run, the number of states and their
    megabytes."""
    spent = 0.0
    plain = {name: getattr(StateRing, name) for name in ("add", "pin")}

    def timed(name: str) -> Any:
        def method(self: StateRing, *args: Any) -> None:
            nonlocal spent
            started = time.perf_counter()
            plain[name](self, *args)
            spent += time.perf_counter() - started

        return method

    with tempfile.TemporaryDirectory() as folder:
        for name in plain:
            setattr(StateRing, name, timed(name))
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                run = train(checked([*LINE, f"runs_dir={folder}"], None)).run_dir
        finally:
            for name, method in plain.items():
                setattr(StateRing, name, method)
        wall = float(read_json(Path(run) / "summary.json")["wall_s"])
        states = states_in(Path(run) / "checkpoints" / "ring")
        size = sum(state.path.stat().st_size for state in states) / 1e6
    return spent, wall, len(states), size


if __name__ == "__main__":
    main()
