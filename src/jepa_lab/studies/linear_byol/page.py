"""The page of the toy: of one run, or of the grid whose runs were trained together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jepa_lab.ledger.command_line import read_command_line
from jepa_lab.ledger.read import read_json, read_yaml
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.report.diagnosis import UNFINISHED, Composes
from jepa_lab.report.next_commands import purpose
from jepa_lab.report.outcome import command_line, diagnose_line
from jepa_lab.report.run_facts import run_facts
from jepa_lab.report.run_page import RunPage
from jepa_lab.report.table import TableRow
from jepa_lab.report.why import Why
from jepa_lab.studies.linear_byol.charts import grid_charts, toy_charts
from jepa_lab.studies.linear_byol.examination import diagnose
from jepa_lab.studies.linear_byol.table import NAME, THEORY, read_rows

SHOWN = [  # column, name, format
    ("loss_population", "loss, infinite batch", ".4f"),
    ("loss_star", "least loss of these encoders", ".4f"),
    ("excess_loss", "above it", ".3g"),
    ("W_Fro_raw", "|P - P*|", ".3g"),
    ("W_Fro_aligned", "after the best rotations", ".3g"),
    ("BA_err_aligned", "|R'BA - I|", ".3g"),
    ("readout_r2", "read-out R² of the latents", ".4f"),
    ("readout_r2_mean", "mean over the latents", ".4f"),
    ("tracking_gap", "|B_o - B_t|", ".3g"),
    ("erank_encoded", "effective rank of z_o", ".2f"),
    ("erank_pred", "of its prediction", ".2f"),
    ("Hmax", "H_max", ".2f"),
    ("alpha_bound", "largest stable lr_pred", ".3g"),
    ("alpha_H_over_tau", "effective step x H / tau", ".3g"),
]


def run_page(run: RunDir, composes: Composes, state: str = "") -> RunPage:
    """Returns the page of one run. `state` replaces that of its folder. Raises UserError if its
    table is missing or damaged."""
    found = diagnose(run.path, composes)
    config, summary = read_yaml(run.config_path), read_json(run.summary_path)
    own = read_command_line(run.path)
    theory = run.path / THEORY
    limits = {row.key: row.limit for row in found.quantities if row.limit is not None}
    tries = [
        (purpose(text, own), text) if text.startswith("python -m") else (f"Try {text}.", "")
        for text in found.commands
    ]
    return RunPage(
        title=f"{found.experiment}, seed {config.get('seed')}",
        verdict=found.examination.verdict.line(),
        rows=table_of(summary, 1),
        command=command_line(run),
        config_yaml=run.config_path.read_text(encoding="utf-8"),
        unfinished=UNFINISHED.get(state or found.state, ""),
        why=Why(tuple(found.events), found.order, tuple(found.quantities), {}, (), ()),
        tries=[*tries, ("Print the evidence in a terminal:", diagnose_line(run))],
        charts=toy_charts(
            read_rows(run.path / NAME),
            read_rows(theory) if theory.is_file() else None,
            limits,
            found.events,
        ),
        facts=run_facts(config, summary, run.status() or {}, found.step),
    )


def grid_page(run: RunDir, members: list[str]) -> RunPage:
    """Returns the page of a grid. `members` are the ids of its runs, which lie beside it."""
    config, summary = read_yaml(run.config_path), read_json(run.summary_path)
    folders = [run.path.parent / name for name in members]
    settings = [read_yaml(folder / "config.yaml") for folder in folders]
    metrics = [read_json(folder / "summary.json").get("metrics") or {} for folder in folders]
    step = int(config.get("epochs") or 0)
    return RunPage(
        title=f"{config.get('name')}, {len(members)} runs",
        verdict=str((summary.get("verdict") or {}).get("line") or ""),
        rows=table_of(summary, len(members)),
        command=command_line(run),
        config_yaml=run.config_path.read_text(encoding="utf-8"),
        charts=grid_charts(list(zip(settings, metrics, strict=True))),
        facts=run_facts(config, summary, run.status() or {}, step),
    )


def table_of(summary: Mapping[str, Any], runs: int) -> list[TableRow]:
    """Returns rows with the name and the last value of each metric, or with the median and the
    range over the runs of a grid. Returns [] if all runs diverged."""
    section = "At the last step" if runs == 1 else "Median over the runs, lowest to highest"
    rows = []
    for column, name, form in SHOWN:
        found = (summary.get("metrics") or {}).get(f"val/{column}")
        if found and found["last"] is not None:
            value = f"{found['last']:{form}}"
            span = f"{found['min']:{form}} to {found['max']:{form}}" if runs > 1 else ""
            rows.append(TableRow(section, name, validation=value, reference=span))
    return rows
