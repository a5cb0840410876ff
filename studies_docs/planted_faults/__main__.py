"""Faults with a known cause: does an investigation name the setting that was planted?

    python studies_docs/planted_faults run [--runs FOLDER] [--only NAME ...]
    python studies_docs/planted_faults document [--runs FOLDER] [--out docs/results/why.md]

`run` makes every faulty run and investigates it, and resumes what was interrupted. The fault lies
in the experiment's own file (studies_docs/planted_faults/experiment), so that nothing typed gives
it away. `document` prints the tables of docs/results/why.md from the stored investigations, or
fills them into the page.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from documents import write_tables
from jepa_lab.cli.app import main as train
from jepa_lab.cli.compose import checked
from jepa_lab.diagnose import main as diagnose
from jepa_lab.ledger.read import read_json
from jepa_lab.report.investigation import HEADS, table
from jepa_lab.studies import find

HERE = Path(__file__).resolve().parent
MISSING = "not made"
HOURS = "2"  # of every investigation


@dataclass(frozen=True)
class Fault:
    """A planted fault: the keys that are to blame, none for a healthy control. A key stands for
    all keys below it."""

    name: str
    what: str
    guilty: tuple[str, ...] = ()


EXAMPLES = {  # investigations that the page shows whole: the command line and the draws
    "example_shared": (["+experiment=shared"], 5),
    "example_sixth_run": (["+experiment=arc_sixth_run", "tier=smoke", "hardware.threads=1"], 5),
}
FAULTS = (
    Fault("shared", "seq-JEPA: gradient through both branches", ("target",)),
    Fault("learning_rate", "seq-JEPA: learning rate times 30, no clipping", ("optim",)),
    Fault("rate", "seq-JEPA: coding rate with the weight 100", ("loss.lambda_rate",)),
    Fault("auxiliary", "seq-JEPA: VICReg with the weight 100", ("aux",)),
    Fault("centring", "seq-JEPA: DINO without centring", ("loss.center_decay",)),
    Fault("views", "seq-JEPA: all views equal", ("dataset.rotation",)),
    Fault("temperature", "ARC: temperature clamped at 30", ("loss.temperature",)),
    Fault("arc_learning_rate", "ARC: learning rate times 300, no clipping", ("optim",)),
    Fault("stop_gradient", "toy: no stop-gradient, no memory", ("stop_gradient", "ema_m")),
    Fault("encoder_rate", "toy: the encoder's rate times 100", ("lr_enc",)),
    Fault("healthy", "seq-JEPA: no fault"),
    Fault("healthy_toy", "toy: no fault"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "document"))
    parser.add_argument("--runs", type=Path, default=Path("runs/planted_faults"))
    names = [*(f.name for f in FAULTS), *EXAMPLES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", default=names)
    parser.add_argument("--out", type=Path, help="the page whose tables are replaced")
    args = parser.parse_args()
    if args.command == "document":
        write_tables({"faults": document(FAULTS, args.runs), **examples(args.runs)}, args.out)
        return
    for fault in FAULTS:
        if fault.name in args.only:
            run([f"+experiment={fault.name}"], args.runs, ["--max-hours", HOURS])
    for name, (line, seeds) in EXAMPLES.items():
        if name in args.only:
            run(line, args.runs, ["--seeds", str(seeds)])


def run(line: list[str], runs: Path, options: list[str]) -> None:
    """Makes the run of a command line and its investigation, and adds the seconds that both
    took."""
    started = time.monotonic()
    line = [*line, f"runs_dir={runs}"]
    with suppress(SystemExit):
        train(["--config-dir", str(HERE), *line])
    folder = _folder(line)
    with suppress(SystemExit):
        diagnose([str(folder), "--investigate", "--config-dir", str(HERE), *options])
    seconds = folder / "investigation_seconds.json"
    known = json.loads(seconds.read_text()) if seconds.is_file() else 0.0
    seconds.write_text(json.dumps(known + time.monotonic() - started))


def _folder(line: list[str]) -> Path:
    """Returns the folder of the run that a command line makes."""
    config = checked(line, str(HERE))
    study = find(config.study).study
    folder: Path = study.plan(config, study.fingerprint(study.load(config))).home.path
    return folder


def examples(runs: Path) -> dict[str, str]:
    """Returns the answer and the table of every example."""
    found = {}
    for name, (line, _) in EXAMPLES.items():
        content = read_json(_folder([*line, f"runs_dir={runs}"]) / "investigation.json")
        if not content:
            found[name] = f"{MISSING.capitalize()} yet."
            continue
        rows = [f"| {' | '.join(cells)} |" for cells in table(content)]
        heads = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
        found[name] = "\n".join([f"> {content['answer']}", "", *heads, *rows])
    return found


def document(faults: Sequence[Fault], runs: Path) -> str:
    """Returns the table of all faults, and how many were named."""
    rows = [
        _row(fault, _folder([f"+experiment={fault.name}", f"runs_dir={runs}"])) for fault in faults
    ]
    found = [row[-1] for row, fault in zip(rows, faults, strict=True) if fault.guilty]
    named, planted = found.count("yes"), len(found) - found.count(MISSING)
    heads = ("fault", "verdict", "named first", "recommended", "trials", "minutes", "right")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"{named} of {planted} planted faults were named first.", "", *lines])


def _row(fault: Fault, folder: Path) -> list[str]:
    verdict = read_json(folder / "summary.json").get("verdict")
    file = folder / "investigation.json"
    if verdict is None or (fault.guilty and not file.is_file()):
        return [fault.what, MISSING, *[""] * 4, MISSING]
    status = verdict["status"]
    if not fault.guilty:
        return [fault.what, status, "nothing to explain", *[""] * 4]
    found: dict[str, Any] = json.loads(file.read_text())
    since = "" if verdict["since_step"] is None else f" since step {verdict['since_step']}"
    trials = sum(trial["n"] for trial in found["trials"])
    seconds = json.loads((folder / "investigation_seconds.json").read_text())
    repairs = [t for t in found["trials"] if t["effect"] == "prevented"]
    first = repairs[0]["overrides"] if repairs else []
    named = any(_is_of(override, fault.guilty) for override in first)
    return [
        fault.what,
        f"{status}{since}",
        _code(first) or found["stopped"] or "none",
        _code(found["recommended"] or []),
        str(trials),
        f"{seconds / 60:.0f}",
        "yes" if named else "no",
    ]


def _code(overrides: Sequence[str]) -> str:
    return f"`{' '.join(overrides)}`" if overrides else ""


def _is_of(override: str, guilty: tuple[str, ...]) -> bool:
    key = override.partition("=")[0]
    return any(key == g or key.startswith(f"{g}.") for g in guilty)


if __name__ == "__main__":
    main()
