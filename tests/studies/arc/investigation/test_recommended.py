"""The recommended command composes to the configuration of the good run."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from conftest import small_overrides
from jepa_lab.cli.compose import as_data
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.studies.arc.investigation.overrides import brief, differences, overridden
from jepa_lab.studies.arc.investigation.recommended import command_of
from jepa_lab.studies.seq_jepa.config import Config


def own(folder: Path, *overrides: str) -> CommandLine:
    return CommandLine(tuple(small_overrides(folder, *overrides)))


def test_the_command_composes_to_the_runs_configuration_with_the_change(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    given = yaml.safe_load(make_config("target=ema", "seed=3").to_yaml())
    overrides = {"optim.lr": 0.0003, "target.name": "stopgrad", "target.tau": None}
    command, checked = command_of(given, own(tmp_path, "target=ema", "seed=3"), overrides, as_data)
    assert checked
    built = as_data(shlex.split(command)[3:])
    assert built is not None
    assert differences(built, overrides) == {}
    assert built["seed"] == 3
    assert built["encoder"]["widths"] == given["encoder"]["widths"]


def test_a_change_that_the_command_cannot_express_is_not_checked(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    given = yaml.safe_load(make_config().to_yaml())
    assert not command_of(given, own(tmp_path), {"vq.init": "kmeans"}, as_data)[1]


def test_a_run_without_a_command_line_gets_its_experiment_and_groups() -> None:
    overrides = {"precision.name": "fp32", "target.tau": None}
    command, checked = command_of({"name": "arc_of_tomorrow"}, None, overrides, as_data)
    assert (
        command == "python -m jepa_lab +experiment=arc_of_tomorrow precision=fp32 target.tau=null"
    )
    assert not checked


def test_a_key_below_a_plain_value_raises_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"optim\.lr=1: optim is 'adam'"):
        overridden({"optim": "adam"}, {"optim.lr": 1})


def test_overriding_does_not_change_the_original() -> None:
    config = {"vq": {"refresh": {"enabled": True}}}
    assert overridden(config, {"vq.refresh.enabled": False, "loss.weight": 1.0}) == {
        "vq": {"refresh": {"enabled": False}},
        "loss": {"weight": 1.0},
    }
    assert config == {"vq": {"refresh": {"enabled": True}}}


def test_brief_names_several_disabled_losses_and_writes_out_a_single_one() -> None:
    off = {"vq.enabled": False, "loss.sigreg.weight": 0.0, "loss.relational.self_weight": 0.0}
    assert brief(off) == "vq.enabled=false without sigreg, relational"
    assert brief({"loss.sigreg.weight": 0.0}) == "loss.sigreg.weight=0"
    assert (
        brief({"loss.sigreg.weight": 0.1, "optim.lr": 0.0003})
        == "loss.sigreg.weight=0.1 optim.lr=0.0003"
    )


def test_false_differs_from_the_number_0() -> None:
    assert differences({"a": 0}, {"a": False}) == {"a": False}
    assert differences({"a": 0.3}, {"a": 0.30, "b": None}) == {}
