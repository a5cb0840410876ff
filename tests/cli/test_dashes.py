"""Overrides in the forms in which other programs write them: taken, or one line with the right
form. Also --info, whose value may be left out."""

from __future__ import annotations

import pytest

from jepa_lab.cli.dashes import check_form, without_dashes
from jepa_lab.cli.overrides import overrides_for_hydra
from jepa_lab.errors import UserError
from jepa_lab.process.command import Parser

B = "+experiment=teacherless_b"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["--loss.lambda_rate=0.01"], ["loss.lambda_rate=0.01"]),
        (["--seed=3", "--dataset.epochs=2"], ["seed=3", "dataset.epochs=2"]),
        (["--runs-dir=/tmp/x-y"], ["runs_dir=/tmp/x-y"]),
        (["--aux=[vicreg,sigreg]"], ["aux=[vicreg,sigreg]"]),
        (["--name=a=b"], ["name=a=b"]),
        (["--name=two\nlines"], ["name=two\nlines"]),
        (["--model/aggregator=mean"], ["model/aggregator=mean"]),
        # options of Hydra and plain overrides stay as they are
        (["--config-dir=mine", "--cfg", "job", "-m"], ["--config-dir=mine", "--cfg", "job", "-m"]),
        (["--cfg=job", "seed=1", "~aux", "+x=2"], ["--cfg=job", "seed=1", "~aux", "+x=2"]),
        (["--nope"], ["--nope"]),
        (["optim.lr=-1"], ["optim.lr=-1"]),
    ],
)
def test_options_with_a_value_are_taken_as_overrides(given: list[str], taken: list[str]) -> None:
    assert without_dashes(given) == taken


def test_the_arguments_of_a_sweep_agent_reach_hydra_as_overrides() -> None:
    given = ["--experiment=teacherless_b", "--seed=3", "--loss.lambda_rate=0.01", "--cfg", "job"]
    taken = ["--cfg", "job", B, "seed=3", "loss.lambda_rate=0.01"]
    assert overrides_for_hydra(given) == taken


@pytest.mark.parametrize("flag", ["--info", "-i"])
def test_info_alone_does_not_take_the_first_override_as_its_value(flag: str) -> None:
    assert overrides_for_hydra([flag, B]) == [flag, "all", B]
    assert overrides_for_hydra([B, flag]) == [flag, "all", B]
    assert overrides_for_hydra([B, flag, "searchpath"]) == [flag, "searchpath", B]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--seed", "3"], "--seed: an override has no dashes; write seed=3"),
        (["--optim.lr", "1e-3", "x=1"], "--optim.lr: an override has no dashes; write optim.lr"),
        (["-seed=3"], "-seed=3: an override has no dashes; write seed=3"),
        (["\u2013seed=3"], "\u2013seed=3: begins with a long dash; write seed=3"),
        (["\u2014multirun"], "\u2014multirun: begins with a long dash; write --multirun"),
        (["\u2013m"], "\u2013m: begins with a long dash; write -m"),
        (["--confg-dir=x"], "--confg-dir=x: no such option; did you mean '--config-dir'?"),
        (["--config_dir=x"], "--config_dir=x: no such option; did you mean '--config-dir'?"),
        (["--multi"], "unrecognized arguments: --multi; did you mean '--multirun'?"),
        (["seed"], "seed: an override is key=value, as in seed=VALUE"),
        (["seed:3"], "seed:3: an override is key=value, as in seed=3"),
        (["seed 3"], "seed 3: an override is key=value, as in seed=3"),
        (["optim.lr: 0.1"], "optim.lr: 0.1: an override is key=value, as in optim.lr=0.1"),
        (["=3"], "=3: the key is missing"),
        (["+=3"], "+=3: the key is missing"),
    ],
)
def test_other_forms_get_one_line_with_the_right_form(given: list[str], line: str) -> None:
    with pytest.raises(UserError) as error:
        overrides_for_hydra([B, *given])
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_a_removed_group_is_a_form_of_its_own() -> None:
    check_form(["~aux", "a=b", "+c=", "++d={e: 1}"])


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--max_runs", "3"], "unrecognized arguments: --max_runs 3; did you mean '--max-runs'?"),
        (["--max-run=3"], "unrecognized arguments: --max-run=3; did you mean '--max-runs'?"),
        (["--zzz"], "unrecognized arguments: --zzz"),
        (["--max-runs", "x"], "argument --max-runs: invalid int value: 'x'"),
    ],
)
def test_commands_name_the_nearest_option(given: list[str], line: str) -> None:
    parser = Parser()
    parser.add_argument("--max-runs", type=int)
    parser.add_argument("--json", action="store_true")
    with pytest.raises(UserError) as error:
        parser.parse_args(given)
    assert str(error.value) == line
