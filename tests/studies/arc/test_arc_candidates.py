"""The changes that an investigation of an ARC run tries are runs that can be built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from conftest import compose_checked, small_arc_overrides
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.studies.arc.candidates import candidates
from jepa_lab.studies.arc.config import ArcConfig
from study_parts import load_data, prepare

COLLAPSE = Finding("complete_collapse", "collapsed", 0.9, "z_agg")


@pytest.mark.parametrize("experiment", ["arc_sixth_run", "arc_gumbel", "arc_lejepa"])
def test_every_change_is_a_run_that_can_be_built(experiment: str, tmp_path: Path) -> None:
    line = CommandLine(tuple(small_arc_overrides(tmp_path, experiment=experiment)))
    given = asdict(compose_checked(line.overrides))
    found = candidates([COLLAPSE], given)
    assert len(found) >= 6
    assert len({candidate.name for candidate in found}) == len(found)
    for candidate in found:
        config = compose_checked(line.changed(candidate.overrides).overrides)
        prepare(config, load_data(config))
        assert asdict(config) != given, candidate.name


def test_the_published_run_gets_the_corrections_alone_and_together(
    make_arc: Callable[..., ArcConfig],
) -> None:
    found = candidates([COLLAPSE], asdict(make_arc(experiment="arc_sixth_run")))
    names = [candidate.name for candidate in found]
    for change in (
        "vq.enabled=false",
        "vq.init=kmeans",
        "vq.refresh.enabled=false",
        "vq.share=true",
        "vq.in_objective=true vq.weight_on=commitment",
    ):
        assert change in names
    together = next(c for c in found if c.why == "several defects at once")
    assert "vq.init=kmeans" in together.overrides
    assert not together.hot
    assert not any(name.startswith("model.context=") for name in names)  # copies of one grid


def test_losses_are_switched_off_one_by_one_and_together(
    make_arc: Callable[..., ArcConfig],
) -> None:
    names = [c.name for c in candidates([], asdict(make_arc(experiment="arc_sixth_run")))]
    assert "loss.sigreg.weight=0" in names
    assert "loss.relational.weight=0 loss.relational.self_weight=0" in names
    assert any(name.startswith("loss.sigreg.weight=0 loss.invariance.color=0") for name in names)
