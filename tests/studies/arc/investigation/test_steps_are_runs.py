"""Every step of an investigation is a valid configuration that can be built and given as a
command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from conftest import small_arc_overrides
from jepa_lab.cli.compose import as_data
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.studies import checked
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.investigation import steps
from jepa_lab.studies.arc.investigation.overrides import overridden
from jepa_lab.studies.arc.investigation.recommended import command_of
from study_parts import load_data, prepare

LISTED = (*steps.FIXES, *steps.CORRECTIONS, *steps.CONTEXTS, *steps.CALMER)
STEPS = {
    s.name: s for s in (*LISTED, *(v for v in vars(steps).values() if isinstance(v, steps.Step)))
}


def base(make_arc: Callable[..., ArcConfig], experiment: str) -> dict[str, Any]:
    config = asdict(make_arc(experiment=experiment))
    if config["target"]["name"] == "ema":
        config["target"]["tau"] = config["target"]["tau"] or 0.9  # as in the config.yaml of a run
    return config


@pytest.mark.parametrize(
    "experiment", ["arc_sixth_run", "arc_jepa", "arc_gumbel", "arc_lejepa", "arc_fsq"]
)
def test_every_step_can_be_built(experiment: str, make_arc: Callable[..., ArcConfig]) -> None:
    given, asked = base(make_arc, experiment), 0
    for step in STEPS.values():
        if step.blocked(given):
            continue
        config = checked(overridden(given, step.change(given)))
        prepare(config, load_data(config))
        asked += 1
    assert asked >= 6


@pytest.mark.parametrize("name", ["all_corrections", "fsq", "minimal", "well_posed"])
def test_the_recommended_command_composes_to_the_changed_sixth_run(
    name: str, make_arc: Callable[..., ArcConfig], tmp_path: Path
) -> None:
    given = base(make_arc, "arc_sixth_run")
    own = CommandLine(tuple(small_arc_overrides(tmp_path, experiment="arc_sixth_run")))
    command, checked = command_of(given, own, STEPS[name].change(given), as_data)
    assert checked, command
