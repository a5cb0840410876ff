"""The examination of a run of the toy in its folder, and the long answer of diagnose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jepa_lab.config.statuses import failed
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.published import Published
from jepa_lab.diagnosis.quantities import timeline
from jepa_lab.diagnosis.rules import Examination
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.ledger.command_line import read_command_line
from jepa_lab.ledger.read import read_json, read_yaml
from jepa_lab.ledger.run_dir import state_of
from jepa_lab.report.diagnosis import Composes, Diagnosis
from jepa_lab.report.next_commands import investigation_of, more_seeds
from jepa_lab.studies.linear_byol.diagnosis import judge_toy
from jepa_lab.studies.linear_byol.quantities import toy_quantities
from jepa_lab.studies.linear_byol.table import NAME, read_run


def examination_of(folder: Path) -> Examination:
    """Returns the verdict on the run in a folder with its finding, if it failed. Raises UserError
    if the folder has no table or a broken one."""
    columns, _ = read_run(folder / NAME)
    return _examination(judge_toy(columns))


def _examination(verdict: Verdict) -> Examination:
    if not failed(verdict.status):
        return Examination(verdict, ())
    finding = Finding(
        verdict.status, verdict.reasons[0], verdict.confidence, verdict.tap, verdict.since_step
    )
    return Examination(verdict, (finding,))


def diagnose(folder: Path, composes: Composes) -> Diagnosis:
    """Reads the folder of one run and judges it. Raises UserError if the folder has no table or a
    broken one."""
    config, status = read_yaml(folder / "config.yaml"), read_json(folder / "status.json")
    columns, meta = read_run(folder / NAME)
    verdict: Verdict = judge_toy(columns)
    found = _examination(verdict)
    return Diagnosis(
        folder,
        str(config.get("name") or "linear_byol"),
        state_of(status) if status else str(meta.get("state", "unknown")),
        int(columns["epoch"][-1]) if len(columns["epoch"]) else 0,
        found,
        timeline(found),
        "",
        toy_quantities(columns, [int(s) for s in columns["epoch"]], Thresholds()),
        [],
        _commands(folder, config, verdict, composes),
        Published("unknown", ()),
    )


def _commands(
    folder: Path, config: Mapping[str, Any], verdict: Verdict, composes: Composes
) -> list[str]:
    """Returns what to try: changes in words and the investigation of a failed run, more seeds of
    one that did not fail."""
    if failed(verdict.status):
        return [*verdict.next, investigation_of(folder)]
    own = read_command_line(folder)
    if own is None or own.sweeps_by_itself or not composes(own):
        return list(verdict.next)
    return [*verdict.next, more_seeds(own, config)]
