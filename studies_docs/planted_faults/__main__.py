"""Faults with a known cause: does an investigation name the setting that was planted?

    python studies_docs/planted_faults run [--out FOLDER] [--only NAME ...]
    python studies_docs/planted_faults document [--out FOLDER]

`run` makes every faulty run and investigates it, and resumes what was interrupted. The fault lies
in the experiment's own file (studies_docs/planted_faults/experiment), so that nothing typed gives
it away. `document` prints the table of docs/results/why.md from the stored investigations.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jepa_lab.cli.app import main as train
from jepa_lab.cli.compose import checked
from jepa_lab.diagnose import main as diagnose
from jepa_lab.studies import find

HERE = Path(__file__).resolve().parent
HOURS = "0.5"  # of every investigation


@dataclass(frozen=True)
class Fault:
    """A planted fault: the keys that are to blame, none for a healthy control. A key stands for
    all keys below it."""

    name: str
    what: str
    guilty: tuple[str, ...] = ()


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
    parser.add_argument("--out", type=Path, default=Path("runs/planted_faults"))
    parser.add_argument("--only", nargs="+", choices=[f.name for f in FAULTS], metavar="NAME")
    args = parser.parse_args()
    faults = [f for f in FAULTS if not args.only or f.name in args.only]
    if args.command == "document":
        print(document(faults, args.out))
        return
    for fault in faults:
        run(fault, args.out)


def run(fault: Fault, out: Path) -> None:
    """Makes the run and its investigation, and adds the seconds that both took."""
    started = time.monotonic()
    line = [f"+experiment={fault.name}", f"runs_dir={out}"]
    with suppress(SystemExit):
        train(["--config-dir", str(HERE), *line])
    folder = _folder(line)
    options = ["--investigate", "--config-dir", str(HERE), "--max-hours", HOURS]
    with suppress(SystemExit):
        diagnose([str(folder), *options])
    seconds = folder / "investigation_seconds.json"
    known = json.loads(seconds.read_text()) if seconds.is_file() else 0.0
    seconds.write_text(json.dumps(known + time.monotonic() - started))


def _folder(line: list[str]) -> Path:
    """Returns the folder of the run that a command line makes."""
    config = checked(line, str(HERE))
    study = find(config.study).study
    folder: Path = study.plan(config, study.fingerprint(study.load(config))).home.path
    return folder


def document(faults: list[Fault], out: Path) -> str:
    """Returns the table of all faults, and how many were named."""
    rows = [
        _row(fault, _folder([f"+experiment={fault.name}", f"runs_dir={out}"])) for fault in faults
    ]
    named = sum(row[-1] == "yes" for row, fault in zip(rows, faults, strict=True) if fault.guilty)
    planted = sum(bool(fault.guilty) for fault in faults)
    heads = ("fault", "verdict", "named first", "recommended", "trials", "minutes", "right")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"{named} of {planted} planted faults are named first.", "", *lines])


def _row(fault: Fault, folder: Path) -> list[str]:
    verdict = json.loads((folder / "summary.json").read_text())["verdict"]
    status = verdict["status"]
    file = folder / "investigation.json"
    if not file.is_file():
        return [fault.what, status, "nothing to explain" if not fault.guilty else "-", *[""] * 4]
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
