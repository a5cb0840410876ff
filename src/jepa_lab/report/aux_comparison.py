"""The end of a comparison of auxiliary losses: the report on its second stage, and what the first one chose and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.report.comparison import read_run
from jepa_lab.report.comparison_report import RESULTS, CannotWrite, Request, write_found
from jepa_lab.report.found import Found
from jepa_lab.report.paired_text import is_accuracy, number_text
from jepa_lab.report.ranking_text import metric_name
from jepa_lab.sweep.records import Record
from jepa_lab.sweep.references import is_reference
from jepa_lab.sweep.tuning import ArmTuning, Candidate, Tuning, read_tuning, write_tuning


def aux_comparison(records: Sequence[Record], sweep_dir: Path, results: Path) -> str:
    """Writes the report on the second stage's runs, and tuning.json beside it; the summary as text.

    `records`: of all jobs of the sweep. Into `results`, or where that holds another comparison, beside it; CannotWrite
    where neither can be.
    """
    tuning = read_tuning(sweep_dir)
    if tuning is None:
        return "no comparison yet: its weights are not chosen; the same line goes on"
    second = [record for record in records if seed_of(record) not in tuning.seeds]
    runs, lost = [], []
    for record in second:
        try:
            if record.run_dir is None:  # it failed before it had a folder
                raise ValueError(f"{record.state}: {record.reason}" if record.reason else record.state)
            runs.append(read_run(Path(record.run_dir)))
        except (OSError, ValueError) as error:
            words = " ".join(word for word in record.words if word.startswith(("aux=", "seed=", "name=")))
            lost.append((f"job {record.job}, {words}", str(error)))
    out = free_folder(results, tuning.sweep)
    arms = [record for record in second if not is_reference(record.words)]
    control = "none" if any("aux=none" in record.words for record in arms) else None
    request = Request("test/" + tuning.metric.removeprefix("val/"), "max", control, arm_keys=("aux",))
    try:
        if not runs:
            raise UserError("no run of the second stage has begun")
        written = write_found(Found(runs, lost), out, request, tunings=[tuning], option="sweep.results")
        paths = [*written.paths, write_tuning(out, tuning)]
    except CannotWrite:
        raise
    except UserError as error:
        return "\n".join([f"no comparison yet: {error}", *tuning_lines(tuning)])
    return "\n".join([written.text, "written:", *(f"  {path}" for path in paths)])


def free_folder(results: Path, sweep: str) -> Path:
    """`results`, or beside it RESULTS_<sweep> where there are the results of something else."""
    if not (results / RESULTS).exists():
        return results
    there = read_tuning(results)
    return results if there is not None and there.sweep == sweep else results.with_name(f"{results.name}_{sweep}")


def seed_of(record: Record) -> int | None:
    """The seed among the words of a job."""
    seeds = [word.partition("=")[2] for word in record.words if word.startswith("seed=")]
    return int(seeds[-1]) if seeds else None


def tuning_lines(tuning: Tuning) -> list[str]:
    """What was tried for whom, then a line for each arm: the weight taken, and how much hung on it."""
    if not tuning.arms:
        return ["Tuning: no arm has a weight."]
    weights, seeds = max(len(arm.candidates) for arm in tuning.arms), len(tuning.seeds)
    head = (
        f"Tuning: {weights} weight{'s' * (weights != 1)} for every arm but none, chosen by "
        f"{metric_name(tuning.metric)} over seed{'s' * (seeds != 1)} {', '.join(map(str, tuning.seeds))}, reported "
        "nowhere; weights with the fewest collapsed or failed runs first."
    )
    return [head, *(_arm_line(arm, tuning.metric) for arm in tuning.arms)]


def _arm_line(arm: ArmTuning, metric: str) -> str:
    figures = ", ".join(_figure(candidate, metric) for candidate in arm.candidates)
    chosen = arm.chosen
    if chosen is None:
        whys = [trial.why for candidate in arm.candidates for trial in candidate.trials if trial.why]
        return f"{arm.arm}: no weight could be chosen and the arm is not compared: {whys[0] if whys else 'no run'}."
    means = [candidate.mean for candidate in arm.candidates if candidate.mean is not None]
    unit = " points" if is_accuracy(metric) else ""
    spread = f"; {number_text(max(means) - min(means), metric)}{unit} between the best and the worst"
    return (
        f"{arm.arm}: {arm.key}={chosen.weight:g} (by default {arm.default:g}); {figures}{spread * (len(means) > 1)}."
        + " The chosen one is the last that was tried on its side: a better one may lie beyond." * bool(arm.end)
    )


def _figure(candidate: Candidate, metric: str) -> str:
    """'0.1 gave 81.2 %', with the runs that collapsed or failed."""
    mean = candidate.mean
    value = "nothing" if mean is None else f"{number_text(mean, metric)}{' %' if is_accuracy(metric) else ''}"
    bad = f" ({candidate.bad} of {len(candidate.trials)} collapsed or failed)" if candidate.bad else ""
    return f"{candidate.weight:g} gave {value}{bad}"
