"""Writes the results of a comparison into a folder: JSON, text, a page, and the weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jepa_lab.config.sweep import is_reference
from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import remove_leftovers, write_atomic, write_json
from jepa_lab.ledger.command_line import read_command_line
from jepa_lab.ledger.finished_run import Run, read_run
from jepa_lab.ledger.parquet import History
from jepa_lab.ledger.sweep_folder import Record, Tuning, read_tuning, write_tuning
from jepa_lab.report.comparison.bounds import split_references, with_references
from jepa_lab.report.comparison.curves import read_curves
from jepa_lab.report.comparison.export import export_models, result_rows
from jepa_lab.report.comparison.find_runs import FoundRuns, dataset_of, find_runs, groups, lost_jobs
from jepa_lab.report.comparison.metric_choice import choose_metric, counterpart, direction_of
from jepa_lab.report.comparison.page import write_comparison_page
from jepa_lab.report.comparison.page_data import page_data
from jepa_lab.report.comparison.ranking import Ranking, rank_runs
from jepa_lab.report.comparison.ranking_text import summary_text
from jepa_lab.report.comparison.tuning import is_tuning, tuning_lines, tunings_of, without_tuning

RESULTS, SUMMARY, PAGE = (
    "experiment_comparison_results.json",
    "comparison_summary.txt",
    "report.html",
)


class CannotWrite(UserError):
    """The folder of results cannot be written."""


@dataclass(frozen=True)
class ReportRequest:
    """Options of a comparison. None stands for the default metric, the direction that follows from
    the name of the metric, and the default control."""

    metric: str | None = None
    direction: str | None = None
    control: str | None = None
    group_by: Sequence[str] = ()
    arm_keys: Sequence[str] = ()


@dataclass(frozen=True)
class Written:
    """A written report. `text` is the content of comparison_summary.txt, `paths` lists the three
    files."""

    text: str
    paths: list[Path]
    rankings: list[Ranking]


def write_report(
    places: Path | Sequence[Path], out: Path, request: ReportRequest | None = None
) -> Written:
    """Compares all runs below one or more folders and writes the report into `out`.

    Raises UserError for runs that cannot be compared, and if `out` cannot be written."""
    require_folder(out, "--out")
    folders = [places] if isinstance(places, Path) else list(places)
    every = find_runs(folders, out)
    found, about = without_tuning(every)
    request = request or ReportRequest()
    # runs that only choose weights are compared on their own metric and never on test
    if request.metric is None and all(map(is_tuning, found.runs)):
        request = replace(request, metric=found.runs[0].config["sweep"]["tuning"].get("metric"))
    lost = [job for folder in folders for job in lost_jobs(folder, every.runs)]
    found = FoundRuns(found.runs, [*found.skipped, *lost])
    tunings = [tuning for folder in folders for tuning in tunings_of(every.runs, folder)]
    return write_found(found, out, request, about, tunings)


def write_found(
    found: FoundRuns,
    out: Path,
    request: ReportRequest | None = None,
    about: Sequence[str] = (),
    tunings: Sequence[Tuning] = (),
    option: str = "--out",
) -> Written:
    """Writes the report on runs that were read already.

    `tunings` show how the weights were chosen. `about` has lines on the work before these runs.
    `option` names the folder `out` in messages. Raises CannotWrite if `out` cannot be written."""
    request = request or ReportRequest()
    require_folder(out, option)
    rankings, notes = _rankings(found.runs, request, choose_metric(found.runs, request.metric))
    histories, unread = _histories(found.runs, rankings)
    try:
        out.mkdir(parents=True, exist_ok=True)
        models, without = export_models(rankings, out)
        before = [*(line for tuning in tunings for line in tuning_lines(tuning)), *about]
        text = summary_text(rankings, found.skipped, [*notes, *unread, *without], before)
        all_notes = [
            *(f"not a run: {path} ({why})" for path, why in found.skipped),
            *notes,
            *unread,
            *without,
        ]
        data = page_data(rankings, histories, _commands(found.runs), out, all_notes, about, tunings)
        remove_leftovers(out)
        write_json(out / RESULTS, result_rows(rankings, models, out))
        write_atomic(out / SUMMARY, text)
        datasets = ", ".join(dict.fromkeys(dataset_of(run.config) for run in found.runs))
        title = f"{len(found.runs)} run{'s' * (len(found.runs) != 1)} compared on {datasets}"
        write_comparison_page(out / PAGE, data, text, title)
    except OSError as error:
        raise CannotWrite(
            f"{option} {out}: cannot write {error.filename or out} ({error.strerror or error})"
        ) from None
    return Written(text, [out / name for name in (RESULTS, SUMMARY, PAGE)], rankings)


def require_folder(out: Path, option: str) -> None:
    """Raises CannotWrite if `out`, or its nearest existing parent, is no folder or not writable."""
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not there.is_dir():
        what = "a file is there" if there == out else f"{there} is a file"
        raise CannotWrite(f"{option} {out}: {what}, a folder is needed")
    if not os.access(there, os.W_OK | os.X_OK):
        raise CannotWrite(f"{option} {out}: cannot write into {there}")


def _rankings(
    runs: Sequence[Run], request: ReportRequest, usual: str
) -> tuple[list[Ranking], list[str]]:
    """Returns a ranking for each group, and a line for each group without one.

    The metric is the requested one, else the default of the group, or `usual` if the runs of the
    group measured nothing. Raises UserError if no group has a ranking."""
    found: list[Ranking] = []
    errors: list[str] = []
    members = groups(runs, request.group_by)
    for name, own in members.items():
        try:
            metric = request.metric or (
                choose_metric(own, None) if any(run.last() for run in own) else usual
            )
            direction = request.direction or direction_of(metric)
            ranked, bounds = split_references(own, request.control)
            ranking = rank_runs(ranked, metric, direction, request.control, request.arm_keys, name)
            found.append(with_references(ranking, bounds))
        except UserError as error:
            errors.append(f"{name}: {error}" if name else str(error))
    if not found:
        more = f" (and {len(errors) - 1} more groups)" if len(errors) > 1 else ""
        raise UserError(f"{errors[0]}{more}")
    return found, errors


def _histories(
    runs: Sequence[Run], rankings: Sequence[Ranking]
) -> tuple[dict[str, History], list[str]]:
    histories: dict[str, History] = {}
    metrics = list(dict.fromkeys(counterpart(ranking.metric) for ranking in rankings))
    unread: list[str] = []
    for run in runs:
        history, why = read_curves(run.path, metrics)
        if why is None:
            histories[str(run.path)] = history
        else:
            unread.append(f"no curves of {run.path}: {why}")
    return histories, unread


def _commands(runs: Sequence[Run]) -> dict[str, str]:
    """Returns {run_dir: command line} of the runs that have stored one."""
    own = {str(run.path): read_command_line(run.path) for run in runs}
    return {path: line.text() for path, line in own.items() if line is not None}


def aux_comparison(records: Sequence[Record], sweep_dir: Path, results: Path) -> str:
    """Writes the report on the runs of the second stage, and tuning.json. Returns the summary.

    `records` are those of all jobs of the sweep. The report is written into `results`, or beside it
    if `results` holds another comparison. Raises CannotWrite if that folder cannot be written.
    """
    tuning = read_tuning(sweep_dir)
    if tuning is None:
        return "no comparison yet: the weights are not chosen; the same command resumes it"
    second = [record for record in records if seed_of(record) not in tuning.seeds]
    runs, lost, waiting = [], [], 0
    for record in second:
        if record.state == "to do" and not record.has_run():
            waiting += 1
            continue
        try:
            if record.run_dir is None:  # it failed before it had a folder
                raise ValueError(
                    f"{record.state}: {record.reason}" if record.reason else record.state
                )
            runs.append(read_run(Path(record.run_dir)))
        except (OSError, ValueError) as error:
            overrides = " ".join(
                override
                for override in record.words
                if override.startswith(("aux=", "seed=", "name="))
            )
            lost.append((f"job {record.job}, {overrides}", str(error)))
    if waiting:
        lost.append((f"{waiting} jobs", "not begun"))
    out = free_folder(results, tuning.sweep)
    arms = [record for record in second if not is_reference(record.words)]
    control = "none" if any("aux=none" in record.words for record in arms) else None
    request = ReportRequest(
        "test/" + tuning.metric.removeprefix("val/"), "max", control, arm_keys=("aux",)
    )
    try:
        if not runs:
            raise UserError("no run of the second stage has begun")
        written = write_found(
            FoundRuns(runs, lost), out, request, tunings=[tuning], option="sweep.results"
        )
        paths = [*written.paths, write_tuning(out, tuning)]
    except CannotWrite:
        raise
    except UserError as error:
        return "\n".join([f"no comparison yet: {error}", *tuning_lines(tuning)])
    return "\n".join([written.text, "written:", *(f"  {path}" for path in paths)])


def free_folder(results: Path, sweep: str) -> Path:
    """Returns `results`, or RESULTS_<sweep> beside it if `results` holds another comparison."""
    if not (results / RESULTS).exists():
        return results
    there = read_tuning(results)
    return (
        results
        if there is not None and there.sweep == sweep
        else results.with_name(f"{results.name}_{sweep}")
    )


def seed_of(record: Record) -> int | None:
    """Returns the seed among the overrides of a job, None without one."""
    seeds = [text.partition("=")[2] for text in record.words if text.startswith("seed=")]
    return int(seeds[-1]) if seeds else None
