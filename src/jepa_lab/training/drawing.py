"""Draws the figures and the page of a trained run, at its end or from its folder later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jepa_lab.config.run_config import JepaConfig
from jepa_lab.diagnosis import Examination, examine
from jepa_lab.diagnosis.gates import GateResult, gates_line
from jepa_lab.errors import UserError, say
from jepa_lab.ledger.parquet import History, history_of
from jepa_lab.ledger.read import read_json, read_yaml
from jepa_lab.ledger.run_dir import RunDir, require_inside, writing_below
from jepa_lab.report.diagnosis import Composes
from jepa_lab.report.outcome import Outcome, draw_outcome, expected_texts, print_outcome
from jepa_lab.report.pictures import NAME, read_pictures, write_pictures
from jepa_lab.training.study import Fit, Session, unchecked


def draws(config: JepaConfig, in_sweep: bool) -> bool:
    """Returns whether a run draws its figures at its end."""
    return config.figures == "always" or (config.figures == "auto" and not in_sweep)


def show(study: Any, session: Session, fit: Fit, verdict: str) -> None:
    """Draws the figures and the page of a run that has ended, and prints its results. A run that
    leaves its figures for later writes pictures.pt, which holds what the metrics lack."""
    config, run = session.config, session.run
    outcome = Outcome(
        run,
        asdict(config),
        fit.history,
        "failed" if fit.failure else "completed",
        verdict,
        gates_line(fit.gates),
        expected_texts(config.expected, *(getattr(config, g).name for g in study.expected_by)),
        study.examine_of(config),
        study.remedies,
        session.composes,
    )
    pictures, page = study.pictures(session, fit), None
    if draws(config, session.brief):
        page = draw_outcome(outcome, **study.draw_pictures(pictures, run.figures))
        (run.path / NAME).unlink(missing_ok=True)
    else:
        write_pictures(run.path, pictures)
    print_outcome(outcome, page)


def draw_run(study: Any, folder: Path, composes: Composes = unchecked) -> Path:
    """Draws the figures and the page of a run's folder, finished or not, and returns the path of
    the page. The page suggests command lines that `composes` accepts. User-defined rules are not
    applied, since nothing that a folder names is executed. Raises UserError if the metrics are
    missing or damaged."""
    require_inside(folder)
    config, summary = read_yaml(folder / "config.yaml"), read_json(folder / "summary.json")
    if not (folder / "metrics.parquet").is_file() and not (folder / ".metrics").is_dir():
        raise UserError(f"{folder}: no metrics.parquet; the run has not measured anything yet")
    history = history_of(folder)
    run = RunDir(folder.parent.parent, folder.parent.name, folder.name)
    examined = _examiner(config, study)
    verdict = (summary.get("verdict") or {}).get("line") or examined(history).verdict.line()
    outcome = Outcome(
        run,
        config,
        history,
        run.state(),
        str(verdict),
        gates_line(_gates(summary)),
        _expected(config, study.expected_by),
        examined,
        study.remedies,
        composes,
    )
    with writing_below(folder):
        return draw_outcome(outcome, **_own_figures(study, run))


def _examiner(config: Mapping[str, Any], study: Any) -> Callable[[History], Examination]:
    return lambda history: examine(history, config=config, remedies=study.remedies)


def _expected(config: Mapping[str, Any], groups: Sequence[str]) -> dict[str, str]:
    names = [str((config.get(group) or {}).get("name")) for group in groups]
    return expected_texts(config.get("expected") or {}, *names)


def _gates(summary: Mapping[str, Any]) -> list[GateResult]:
    rows = (summary.get("gates") or {}).get("results") or []
    try:
        return [GateResult(str(r["gate"]), float(r["limit"]), r["value"]) for r in rows]
    except (KeyError, TypeError, ValueError):
        return []


def _own_figures(study: Any, run: RunDir) -> dict[str, Any]:
    """Draws the study's own figures from pictures.pt. Returns the options for the others."""
    pictures = read_pictures(run.path)
    if not pictures:
        return {}
    try:
        options: dict[str, Any] = study.draw_pictures(pictures, run.figures)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        say(f"{run.path / NAME}: damaged, its figures are left out ({type(error).__name__})")
        return {}
    return options
