"""Causes and changes of ARC runs: every defect of a configuration has its own, and every suggested
command composes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from conftest import small_arc_overrides
from jepa_lab.cli.compose import as_data
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.rules import examine, judge
from jepa_lab.ledger.command_line import CommandLine, write_command_line
from jepa_lab.report.next_commands import next_commands
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.remedies import ArcRemedies, codebook_defects, problem_defects

Make = Callable[..., ArcConfig]
REMEDIES = ArcRemedies()
INVESTIGATE = "python -m jepa_lab.diagnose 'runs/a run' --investigate"
DEFECTS = [
    (["vq.init=empty"], "vq.init=empty", "vq.init=kmeans"),
    (
        ["vq.in_objective=false"],
        "vq.in_objective=false",
        "vq.in_objective=true vq.weight_on=commitment",
    ),
    (["vq.weight_on=codebook"], "vq.weight_on=codebook", "vq.weight_on=commitment"),
    (
        ["vq.refresh.rule=legacy_share"],
        "vq.refresh.rule",
        "vq.refresh.rule=relative vq.refresh.cap=0.1",
    ),
    (["vq.refresh.enabled=false"], "vq.refresh.enabled=false", "vq.refresh.enabled=true"),
    (["vq.update=forward"], "vq.update=forward", "vq.update=step vq.count_padding=false"),
    (["vq.share=false"], "vq.share=false", "vq.share=true"),
]


@pytest.mark.parametrize(
    ("overrides", "cause", "change"), DEFECTS, ids=[overrides[0] for overrides, _, _ in DEFECTS]
)
def test_every_codebook_defect_has_a_cause_and_a_change(
    overrides: list[str], cause: str, change: str, make_arc: Make
) -> None:
    ((text, tried),) = codebook_defects(asdict(make_arc(*overrides)))
    assert text.startswith(cause)
    assert tried == change


def test_a_codebook_without_a_known_defect_is_removed_replaced_or_shrunk(make_arc: Make) -> None:
    config = asdict(make_arc())
    assert codebook_defects(config) == []
    changes = REMEDIES.changes(Finding("codebook_collapse", "", 1.0), config)
    assert changes == ("vq.enabled=false", "vq=fsq", "vq.size*0.5")
    assert REMEDIES.causes({"codebook_collapse"}, config) == []


def test_the_defects_of_the_sixth_run_are_all_named(make_arc: Make) -> None:
    config = asdict(make_arc(experiment="arc_sixth_run"))
    assert [
        c.partition(":")[0] for c in REMEDIES.causes({"codebook_collapse", "no_learning"}, config)
    ] == [
        "vq.init=empty",
        "vq.in_objective=false",
        "vq.refresh.rule=legacy_share",
        "vq.update=forward",
        "vq.share=false",
        "dataset.problem=copies",
        "model.predictor=none",
        "model.projection_form=relu_end",
        "loss.temperature lies between 0.07 and 0.15",
    ]
    assert problem_defects(asdict(make_arc())) == []


def suggested(
    folder: Path, config: dict[str, Any], findings: list[Finding], experiment: str = "arc_jepa"
) -> list[str]:
    """Returns the next commands of a run that was started with the overrides of `make_arc`."""
    write_command_line(
        folder, CommandLine(tuple(small_arc_overrides(folder, experiment=experiment)))
    )

    def composes(overrides: CommandLine) -> bool:
        return as_data(overrides.overrides) is not None

    options = (REMEDIES, composes, INVESTIGATE)
    return next_commands(folder, config, findings, "completed", *options)


@pytest.mark.parametrize(
    ("experiment", "statuses", "number"),
    [
        ("arc_sixth_run", ["codebook_collapse", "dimensional_collapse"], 4),
        ("arc_minimal", ["dimensional_collapse", "no_learning"], 4),
        ("arc_jepa", ["codebook_collapse", "low_rank"], 4),
        ("arc_lejepa", ["complete_collapse", "copy_shortcut"], 4),
        ("arc_fsq", ["no_learning", "ignores_actions"], 3),
    ],
)
def test_every_command_composes_and_the_last_starts_the_investigation(
    experiment: str, statuses: list[str], number: int, make_arc: Make, tmp_path: Path
) -> None:
    config = asdict(make_arc(experiment=experiment))
    findings = [Finding(status, "", 1.0) for status in statuses]
    *lines, last = suggested(tmp_path, config, findings, experiment)
    assert last == INVESTIGATE
    assert len(lines) == number
    for line in lines:
        command, overrides = shlex.split(line)[:3], shlex.split(line)[3:]
        assert command == ["python", "-m", "jepa_lab"]
        assert as_data(overrides) is not None
        assert not any(override.startswith("loss.lambda_rate") for override in overrides)


def test_a_run_without_failure_gets_more_seeds_and_no_investigation(
    make_arc: Make, tmp_path: Path
) -> None:
    config = asdict(make_arc())
    (line,) = suggested(tmp_path, config, [])
    assert "-m" in line.split()
    assert "seed=0,1,2" in line
    (line,) = suggested(tmp_path, config, [Finding("low_rank", "", 0.5)])
    assert "loss.sigreg.weight=0.1" in line


def history(**gains: float) -> dict[str, Any]:
    """Returns six validations of a run that predicts. Gains are shares of its loss of 2."""
    steps = [10 * i for i in range(1, 7)]
    flat = {
        "val/skill": 0.5,
        "val/loss/prediction": 2.0,
        **{f"val/{name}": 2.0 * v for name, v in gains.items()},
    }
    for tap in ("z", "z_agg", "z_target"):
        flat |= {
            f"val/{tap}/{k}": v
            for k, v in {
                "effective_rank": 12.0,
                "rankme": 12.0,
                "feature_std": 1.0,
                "feature_std_l2": 0.9,
                "n": 500.0,
                "d": 32.0,
                "eigenvalue_ratio": 0.1,
                "mean_pairwise_cosine": 0.0,
            }.items()
        }
    return {key: [(step, value) for step in steps] for key, value in flat.items()}


def test_a_prediction_that_ignores_its_demonstrations_is_reported(make_arc: Make) -> None:
    config = asdict(make_arc())
    verdict = judge(history(demo_gain=0.0, copy_gain=0.5), config=config, remedies=REMEDIES)
    assert verdict.status == "ignores_actions"
    assert verdict.reasons[0].startswith("the demonstrations of another task do as well")
    assert "dataset.epochs=6" in verdict.next
    assert (
        judge(history(demo_gain=0.5, copy_gain=0.5), config=config, remedies=REMEDIES).status
        == "healthy"
    )


def test_a_copy_repeats_the_querys_input_or_the_last_frame(make_arc: Make) -> None:
    config = asdict(make_arc())
    verdict = judge(history(demo_gain=0.5, copy_gain=0.0), config=config, remedies=REMEDIES)
    assert verdict.status == "copy_shortcut"
    assert "a copy of the query's own input" in verdict.reasons[0]
    frames = asdict(make_arc("dataset.problem=frames"))
    assert (
        "a copy of the last frame"
        in judge(history(copy_gain=0.0), config=frames, remedies=REMEDIES).reasons[0]
    )
    assert "a copy of the last view" in judge(history(copy_gain=0.0)).reasons[0]


def test_no_learning_is_reported_as_no_better_than_chance(make_arc: Make) -> None:
    points = history(demo_gain=0.5, copy_gain=0.5) | {
        "val/skill": [(10 * i, 0.0) for i in range(1, 7)]
    }
    (reason, *_) = examine(points, config=asdict(make_arc()), remedies=REMEDIES).verdict.reasons
    assert "no better than chance" in reason
