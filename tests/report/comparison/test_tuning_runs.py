"""The first stage of a comparison in a report: no number includes its runs, and the page has its
table."""

import json
from pathlib import Path

import pytest

from comparison_runs import STAGED, both_stages, make_run
from jepa_lab.ledger.sweep_folder import ArmTuning, Candidate, Tuning, WeightTrial
from jepa_lab.report.comparison.find_runs import find_runs, lost_jobs
from jepa_lab.report.comparison.report import write_report
from jepa_lab.report.comparison.tuning import tuning_data, tunings_of, without_tuning

KEY = "val/probe/class_from_z_agg"


def test_runs_that_chose_a_weight_are_left_out_and_reported(tmp_path: Path) -> None:
    written = write_report(both_stages(tmp_path / "runs"), tmp_path / "out")
    (ranking,) = written.rankings
    assert {one.name: sorted(one.arm.values(ranking.metric)) for one in ranking.arms} == {
        "none": [0, 1],
        "vicreg": [0, 1],
    }
    assert "1 run of seed 1000 only chose the weights: left out" in written.text
    assert "vicreg: aux.vicreg.weight=1 (by default 1); 1 gave 99.0 %." in written.text


def test_runs_that_choose_weights_are_compared_if_there_are_no_others(tmp_path: Path) -> None:
    for weight in (0.1, 1.0):
        own = {**STAGED, "aux": {"vicreg": {"weight": weight}}}
        make_run(tmp_path / str(weight), "aux_comparison", 1000, settings=own, run_id=str(weight))
    found, notes = without_tuning(find_runs(tmp_path))
    assert len(found.runs) == 2
    assert notes == [
        "2 runs of seed 1000: they choose weights; the reported runs of this comparison have not"
        " begun"
    ]
    written = write_report(tmp_path, tmp_path / "out")
    assert written.rankings[0].metric == KEY  # weights are never compared on test images
    assert notes[0] in " ".join(written.text.split())


def test_a_tuning_seed_of_another_experiment_is_compared(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 1000, settings={**STAGED, "sweep.report": None})
    make_run(tmp_path, "b", 1000, settings=STAGED)
    found, _ = without_tuning(find_runs(tmp_path))
    assert [run.config["name"] for run in found.runs] == ["a"]


def test_a_tuning_of_other_runs_is_not_reported(tmp_path: Path) -> None:
    runs = both_stages(tmp_path / "runs")
    every = find_runs(runs).runs
    assert [tuning.sweep for tuning in tunings_of(every, runs)] == ["abc"]
    assert tunings_of([run for run in every if run.config["seed"] < 1000], runs) == []


@pytest.mark.parametrize(
    ("values", "end"),
    [
        ([0.9, 0.5, 0.4], "lowest"),
        ([0.4, 0.5, 0.9], "highest"),
        ([0.4, 0.9, 0.5], None),
        ([0.9], None),
        ([None, None], None),
    ],
)
def test_a_weight_is_at_an_end_of_those_tried_or_inside(
    values: list[float | None], end: str | None
) -> None:
    tried = [
        Candidate(10.0**i, [WeightTrial(0, str(i), "", value)]) for i, value in enumerate(values)
    ]
    arm = ArmTuning("sigreg", "aux.sigreg.weight", 10.0, tried)
    assert arm.end == end
    (row,) = tuning_data(Tuning("s", KEY, [0], [arm]))["arms"]
    assert (row["end"], row["chosen"]) == (end, arm.chosen and arm.chosen.weight)
    assert [c["mean"] for c in row["candidates"]] == values


def test_a_job_that_failed_without_a_run_folder_is_reported(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 0)
    jobs = tmp_path / "sweeps" / "abc" / "jobs"
    jobs.mkdir(parents=True)
    for job, run_id in ((1, None), (2, "a-0")):
        record = {
            "job": job,
            "words": ["aux=dino", f"seed={job}"],
            "state": "failed",
            "run_id": run_id,
            "reason": "no data",
        }
        (jobs / f"{job:04d}.json").write_text(json.dumps(record))
    (line,) = lost_jobs(tmp_path, find_runs(tmp_path).runs)
    assert line == ("job 1 of sweep abc, aux=dino seed=1", "failed: no data")
    assert "not a run: job 1 of sweep abc" in write_report(tmp_path, tmp_path / "out").text
