"""The end of a sweep: prints the states of its jobs and the comparison of their runs."""

from __future__ import annotations

from pathlib import Path

from jepa_lab.errors import UserError, say
from jepa_lab.ledger.atomic import write_json
from jepa_lab.ledger.read import read_yaml
from jepa_lab.ledger.sweep_folder import read_records
from jepa_lab.report.comparison.control import paired_report
from jepa_lab.report.comparison.report import aux_comparison
from jepa_lab.report.comparison.table import compare
from jepa_lab.studies import find
from jepa_lab.studies.entry import load
from jepa_lab.sweep.records import RunningSweep
from jepa_lab.sweep.search import search_text
from jepa_lab.sweep.table import print_records, summary_line


def show_sweep(sweep: RunningSweep) -> list[int]:
    """Prints the states of the jobs and compares their runs. Returns the exit codes of the jobs."""
    codes = _show_jobs(sweep)
    search = search_text(sweep.folder)
    if search:
        print(f"\n{search}", flush=True)
    return codes


def _show_jobs(sweep: RunningSweep) -> list[int]:
    records = read_records(sweep.folder)
    if not records:
        return []
    print()
    print_records(records)
    print(f"{summary_line(records)}\n", flush=True)
    codes = [record.code for record in records]
    if sweep.report == "aux_comparison":
        try:
            print(aux_comparison(records, sweep.folder, sweep.results), flush=True)
        except UserError as error:
            say(str(error))
            codes.append(2)
        return codes
    runs = list(dict.fromkeys(Path(str(r.run_dir)) for r in records if r.has_run()))
    comparison = compare(runs)
    if comparison.rows:
        comparison.print()
        others = [r for r in records if not r.has_run()]
        if others:
            print(f"\nwithout a run: {summary_line(others)}")
        comparison.write(sweep.folder)
        _show_paired(runs, sweep)
        if sweep.report:
            print(f"\n{_own_report(sweep, runs)}")
        print(f"\ncomparison: {sweep.folder / 'comparison.csv'}", flush=True)
    return codes


def _show_paired(runs: list[Path], sweep: RunningSweep) -> None:
    text, content = paired_report(runs, sweep.control) if sweep.control else ("", {})
    if text:
        print(f"\n{text}")
    if content:
        write_json(sweep.folder / "paired.json", content)


def _own_report(sweep: RunningSweep, runs: list[Path]) -> str:
    """Returns the study's report on the runs of the sweep."""
    finished = [run for run in runs if (run / "summary.json").is_file()]
    entry = find(read_yaml(runs[0] / "config.yaml").get("study"))
    text: str = load(entry.reports[sweep.report])(finished, sweep.folder)
    return text
