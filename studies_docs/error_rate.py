"""Measures how often the verdict is wrong, on real runs that an oracle labels (see
`error_rate_oracle`).

    python studies_docs/error_rate.py train digits|toy RUNS_DIR [--shard 0/2]
        trains the runs: half an hour on two cores; can be resumed
    python studies_docs/error_rate.py collect RUNS_DIR
        writes their statistics to tests/studies_docs/error_rate.parquet
    python studies_docs/error_rate.py fit
        prints the changes to thresholds.yaml that the fit half suggests
    python studies_docs/error_rate.py report
        writes docs/diagnosis.md from the Parquet file and the current rules

Half of the runs, by a hash of their name, serve to fit thresholds and the confidence. Every number
in the document comes from the other half.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from documents import write_tables
from error_rate_judged import DATA, Run, judged, load, save, verdict_of

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "diagnosis.md"
FIGURE = ROOT / "docs" / "images" / "error_rate.png"


def collect(runs_dir: Path) -> None:
    """Writes the Parquet file, and prints how many verdicts change because of the metrics that it
    omits."""
    from error_rate_runs import read_results
    from jepa_lab.diagnosis import judge
    from jepa_lab.ledger.parquet import history_of

    runs, changed = [], 0
    for row in read_results(runs_dir):
        run = Run.of(row)
        runs.append(run)
        if run.study == "digits":
            whole = judge(history_of(Path(row["run_dir"])), config=row["config"])
            changed += whole.status != verdict_of(run).status
    save(DATA, runs)
    print(
        f"written: {DATA}, {len(runs)} runs, {DATA.stat().st_size / 1e6:.2f} MB; {changed} verdicts"
        " differ"
    )


def report() -> None:
    """Writes the section of docs/diagnosis.md and its figure."""
    from error_rate_tables import content, draw

    runs = judged(load(DATA))
    write_tables({"errors": content(runs)}, DOCUMENT)
    draw(runs, FIGURE)
    print(f"written: {DOCUMENT}, {FIGURE}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train")
    train.add_argument("study", choices=["digits", "toy"])
    train.add_argument("runs_dir", type=Path)
    train.add_argument("--shard", default="0/1", help="this process's share, as in 0/2 and 1/2")
    commands.add_parser("collect").add_argument("runs_dir", type=Path)
    commands.add_parser("fit")
    commands.add_parser("report")
    args = parser.parse_args()
    if args.command == "train":
        from error_rate_runs import train_all

        part, _, of = args.shard.partition("/")
        train_all(args.study, args.runs_dir, (int(part), int(of)))
    elif args.command == "collect":
        collect(args.runs_dir)
    elif args.command == "fit":
        from error_rate_fit import fit

        print(json.dumps(fit(load(DATA)), indent=2))
    else:
        report()


if __name__ == "__main__":
    main()
