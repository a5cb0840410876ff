"""The diagnosis of a run folder from its files alone, without torch.

The run may be finished, running or killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.diagnosis.causes import causes
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.published import Published, published_of_run
from jepa_lab.diagnosis.quantities import Quantity, order_sentence, quantities, timeline
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.diagnosis.rules import Examination, examine
from jepa_lab.diagnosis.settings import Settings
from jepa_lab.diagnosis.text import event_lines, quantity_lines
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.errors import UserError
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.read import finite_or_null, read_if_possible, read_json, read_yaml
from jepa_lab.ledger.run_dir import state_of
from jepa_lab.report.next_commands import next_commands


@dataclass(frozen=True)
class Diagnosis:
    """Everything that a diagnosis prints and writes.

    `state` is that of RunDir.state. `step` is the last logged optimiser step. `left_out` lists the
    user-defined rules of the run. They are not applied, since the diagnosis of a folder never runs
    code that its configuration names. `answer` is that of the run's investigation, "" without
    one."""

    path: Path
    experiment: str
    state: str
    step: int
    examination: Examination
    events: list[Finding]
    order: str
    quantities: list[Quantity]
    causes: list[str]
    commands: list[str]
    published: Published
    left_out: tuple[str, ...] = ()
    answer: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of diagnosis.json. Numbers that are not finite become null."""
        content = {
            "run_dir": str(self.path),
            "experiment": self.experiment,
            "state": self.state,
            "step": self.step,
            "verdict": self.examination.verdict.to_dict(),
            "order": self.order,
            "timeline": [event_data(f) for f in self.events],
            "quantities": [asdict(q) for q in self.quantities],
            "causes": self.causes,
            "notes": [f.reason for f in self.examination.notes],
            "missing": list(self.examination.missing),
            "next": self.commands,
            "investigation": self.answer or None,
            "rules_left_out": list(self.left_out),
            "published": {"status": self.published.status, "reasons": list(self.published.reasons)},
        }
        written: dict[str, Any] = finite_or_null(content)
        return written


# returns whether a command line composes to a valid configuration
Composes = Callable[[CommandLine], bool]


def diagnose_run(
    path: Path, remedies: Remedies, composes: Composes, investigation: str | None = None
) -> Diagnosis:
    """Reads a run folder and diagnoses it. `path` may also be a file in that folder.

    `remedies` are the changes that the study of the run suggests. `composes` rejects suggested
    command lines that are not valid. `investigation` is the command that investigates such a run,
    None if its study has none. Raises UserError if the metrics are missing or damaged."""
    folder = path if path.is_dir() else path.parent
    status, config = read_json(folder / "status.json"), read_yaml(folder / "config.yaml")
    if not (folder / "metrics.parquet").is_file():
        raise UserError(f"{path}: no metrics.parquet; {_rather(folder)}")
    history = history_of(folder)
    t = Thresholds()
    state = state_of(status) if status else "unknown"
    found = examine(history, t, config, remedies=remedies)
    events = timeline(found)
    return Diagnosis(
        folder,
        str(config.get("name") or status.get("experiment") or "unknown"),
        state,
        max((points[-1][0] for points in history.values()), default=0),
        found,
        events,
        order_sentence(events),
        quantities(history, t, Settings.of(config, remedies)),
        causes(found, config, remedies),
        (
            next_commands(folder, config, found.failures, state, remedies, composes, investigation)
            if config
            else []
        ),
        published_of_run(history),
        tuple(value_of(config, "diagnosis.rules") or ()),
        str(read_if_possible(folder / "investigation.json").get("answer") or ""),
    )


def _rather(folder: Path) -> str:
    """Returns the advice for a folder that is no run: the latest run inside it, if there is one."""
    runs = [file.parent for level in ("*", "*/*") for file in folder.glob(f"{level}/status.json")]
    if not runs:
        return "pass the folder of a run, e.g. runs/teacherless_b/<run_id>"
    latest = max(runs, key=lambda run: run.stat().st_mtime)
    return f"it is not a run but contains {len(runs)} of them; pass one, e.g. {latest}"


def event_data(finding: Finding) -> dict[str, Any]:
    """Returns a finding as plain data."""
    keys = ("status", "tap", "quantity", "reason", "confidence", "since")
    return {"step": finding.began, **{key: getattr(finding, key) for key in keys}}


UNFINISHED = {
    "running": "the run is still running: this is its verdict so far",
    "killed": "the run was killed: this is the verdict up to then",
    "stopped": "the run was stopped: this is the verdict up to then",
    "failed": "the run failed: this is the verdict up to then",
}


def diagnosis_text(diagnosis: Diagnosis, rules: str = "ours") -> str:
    """Returns the diagnosis as some twenty lines for a terminal.

    With rules="published" the verdict by the published thresholds comes first."""
    verdict = diagnosis.examination.verdict
    head = f"verdict: {verdict.line()}"
    if verdict.status != "inconclusive":
        head += f"\nconfidence: {verdict.confidence:.2f}"
    if rules == "published":
        head = f"published rules: {diagnosis.published.line()}\nours:            {verdict.line()}"
    parts = [head, f"run:     {diagnosis.experiment}, {diagnosis.state}, step {diagnosis.step}"]
    if diagnosis.state in UNFINISHED:
        parts.append(UNFINISHED[diagnosis.state])
    if diagnosis.left_out:
        parts.append(
            f"not applied: diagnosis.rules {', '.join(diagnosis.left_out)}; the diagnosis"
            " of a folder does not run user-defined code"
        )
    parts += event_lines(diagnosis.events)
    parts += quantity_lines(diagnosis.quantities)
    if diagnosis.causes:
        parts.append(
            "\n".join(
                [
                    "",
                    "causes, the likeliest first",
                    *(f"  {i}. {c}" for i, c in enumerate(diagnosis.causes, 1)),
                ]
            )
        )
    if diagnosis.answer:
        parts.append(f"\ninvestigated\n  {diagnosis.answer}")
    if diagnosis.commands:
        parts.append("\n".join(["", "next", *(f"  {line}" for line in diagnosis.commands)]))
    return "\n".join(parts)
