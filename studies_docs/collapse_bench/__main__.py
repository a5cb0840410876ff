"""python studies_docs/collapse_bench COMMAND: see the docstring of the package."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # a run uses one core

import collapse_bench
from collapse_bench.plan import plan
from collapse_bench.results import labels_of, path_of, read_results, train_missing


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=collapse_bench.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train", "status", "collect"):
        commands.add_parser(name).add_argument("out", type=Path)
    commands.choices["train"].add_argument("--shard", default="0/1", help="as in 0/2 and 1/2")
    commands.choices["train"].add_argument("--first", type=int, help="only the first runs")
    commands.choices["train"].add_argument("--only", metavar="NAME", help="only the run of a name")
    commands.choices["collect"].add_argument("--to", type=Path)
    commands.add_parser("fit")
    commands.add_parser("document")
    args = parser.parse_args(argv)
    if args.command == "train":
        part, _, of = args.shard.partition("/")
        train_all(args.out, (int(part), int(of)), args.first, args.only)
    elif args.command == "status":
        print(status(args.out))
    elif args.command == "collect":
        from collapse_bench.collect import collect

        print(collect(args.out, args.to))
    else:
        from collapse_bench import document, fit

        print(fit.write() if args.command == "fit" else document.write())


def train_all(
    out: Path, shard: tuple[int, int], first: int | None, only: str | None = None
) -> None:
    """Trains the missing runs of a share, and prints a line for each with its seconds. Raises
    SystemExit for a name that no run has."""
    specs = [spec for spec in plan()[:first] if only in (None, spec.name)]
    if not specs:
        raise SystemExit(f"--only {only}: no run of the plan has this name")
    mine = specs[shard[0] :: shard[1]]
    left = sum(not path_of(out, spec).exists() for spec in mine)
    print(f"{len(mine)} runs, {left} to train", flush=True)
    begun, used = time.perf_counter(), time.process_time()
    for done, spec in enumerate(train_missing(out, specs, shard), 1):
        each = (time.perf_counter() - begun) / done
        core = (time.process_time() - used) / done
        print(
            f"{done}/{left} {spec.name}: {each:.1f} s a run ({core:.1f} s of a core),"
            f" {(left - done) * each / 60:.0f} min left",
            flush=True,
        )


def status(out: Path) -> str:
    """Returns the counts of finished runs and of their labels, by kind."""
    specs = plan()
    found = read_results(out)
    rows = Counter((r["kind"], labels_of(r)["label"]) for r in found)
    lines = [f"{len(found)} of {len(specs)} runs"]
    return "\n".join(
        [*lines, *(f"{kind} {label}: {n}" for (kind, label), n in sorted(rows.items()))]
    )


if __name__ == "__main__":
    main()
