"""Any value for any number: every command line ends in success or in one line.

The command lines are made from the dataclasses of the three studies: each key that takes whole
numbers, numbers, or a list of them, and values that are wrong, huge or of another type. A seeded
sample of them runs; JEPA_LAB_COMMAND_LINES=all runs every one.
"""

from __future__ import annotations

import copy
import os
import random
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from conftest import small_arc_overrides, small_overrides
from jepa_lab.config.groups import conf_dir
from jepa_lab.errors import UserError
from jepa_lab.studies import find
from jepa_lab.sweep.ladder import checked_rungs

HUGE = ["1e30", str(10**20), str(10**6), str(10**9), str(9 * 10**18)]
VALUES = ["0", "-1", *HUGE, "nan", "inf", "''", "null", "[]", "{}", "word", "???", "1" * 400]
SAMPLE = 40  # command lines of each study
# valid, but thousands of tasks are then made
SLOW = [f"dataset.{split}_tasks={n}" for split in ("train", "val", "test") for n in ("null", 10**6)]
TOY = ["+experiment=linear_byol", "hardware.threads=1", "epochs=10"]
STUDIES = {
    "seq_jepa": small_overrides(Path("runs"), "dataset=digits_affine", "+aux=[vicreg,sigreg]"),
    "arc": small_arc_overrides(Path("runs"), "+aux=[vicreg]"),
    "linear_byol": TOY,
}


def numbers(kind: Any, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Yields (key, whether it takes a list) of every key of a dataclass that takes numbers."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        if get_origin(hint) in (Union, types.UnionType):
            hint = next(arg for arg in get_args(hint) if arg is not types.NoneType)
        inner = get_args(hint)
        if is_dataclass(hint):
            yield from numbers(hint, f"{key}.")
        elif hint in (int, float) or key == "loss.alpha":
            yield key, False
        elif get_origin(hint) is list and inner[0] in (int, float):
            yield key, True
        elif get_origin(hint) is dict and is_dataclass(inner[1]):
            yield from numbers(inner[1], f"{key}.smoke.")


def command_lines(study: str, composed: DictConfig) -> list[str]:
    """Returns every override of one key of the study."""
    keys = list(numbers(find(study).config))
    for name, options in (composed.get("aux") or {}).items():
        kept = [key for key, value in options.items() if isinstance(value, int | float)]
        keys += [(f"aux.{name}.{key}", False) for key in kept]
    lines = []
    for key, takes_list in keys:
        lines += [f"++{key}={value}" for value in VALUES]
        if takes_list:
            forms = ("[{0}]", "[{0},{0}]", "[1,2,{0}]")
            lines += [f"++{key}={form.format(value)}" for form in forms for value in VALUES]
    return [line for line in lines if line.removeprefix("++") not in SLOW]


def outcome(composed: DictConfig, override: str, data: dict[str, Any]) -> str:
    """Returns the line of a refused override, "" for one that a run would accept. Goes the way of a
    run up to its first written file. `data` keeps data sets by their key."""
    cfg = copy.deepcopy(composed)
    try:
        parsed = OverridesParser.create().parse_overrides([override])
        ConfigLoaderImpl._apply_overrides_to_config(parsed, cfg)
    except HydraException as error:  # cli.app prints its first line
        return str(error).split("\n", 1)[0]
    try:
        config = checked_rungs(cfg)[-1]
        planner = find(config.study).planner
        key = f"{config.study} {planner.data_key(config)}"
        if key not in data:
            data[key] = planner.load(config)
        planner.plan(config, "").decide()
        find(config.study).study.prepare(config, data[key])
    except UserError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def composed() -> dict[str, DictConfig]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return {study: compose("config", overrides) for study, overrides in STUDIES.items()}


@pytest.mark.parametrize("study", STUDIES)
def test_every_value_of_every_number_is_accepted_or_refused_in_one_line(
    study: str, composed: dict[str, DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = command_lines(study, composed[study])
    assert len(lines) > 300
    if os.environ.get("JEPA_LAB_COMMAND_LINES") != "all":
        lines = random.Random(19).sample(lines, SAMPLE)
    data: dict[str, Any] = {}
    refused = {}
    for line in lines:
        before = torch.random.get_rng_state()
        try:
            refused[line] = outcome(composed[study], line, data)
        except Exception as error:
            pytest.fail(f"{line}: {type(error).__name__}: {error}")
        torch.random.set_rng_state(before)
    assert not [text for text in refused.values() if "\n" in text]
    assert not list(tmp_path.iterdir())
    assert any(refused.values())


@pytest.mark.parametrize(
    ("study", "override", "key"),
    [
        ("seq_jepa", "model.hidden=1000000000", "model.hidden=1000000000"),
        ("seq_jepa", "model.action_dim=1000000000", "model.action_dim=1000000000"),
        ("seq_jepa", "model.depth=1000000000", "model.depth=1000000000"),
        ("seq_jepa", "encoder.widths=[1000000]", "encoder.widths=[1000000]"),
        ("seq_jepa", "dataset.n_views=1000000", "dataset.n_views=1000000"),
        ("seq_jepa", "dataset.epochs=1000000000000", "dataset.epochs=1000000000000"),
        ("seq_jepa", "probes.hidden=1000000000000", "probes.hidden=1000000000000"),
        ("seq_jepa", "dataset.image_size=1000000", "dataset.image_size=1000000"),
        ("seq_jepa", "monitor.rollout_steps=1000000000", "monitor.rollout_steps=1000000000"),
        ("seq_jepa", "aux.sigreg.n_slices=1000000000", "aux.sigreg.n_slices=1000000000"),
        ("arc", "loss.sigreg={weight:1,n_slices:1000000000}", "loss.sigreg.n_slices=1000000000"),
        ("arc", "dataset.max_objects=100000", "dataset.max_objects"),
        ("arc", "dataset.n_demos=1000000000", "dataset.n_demos=1000000000"),
        ("arc", "dataset.train_tasks=1000000000", "dataset.train_tasks=1000000000"),
        ("arc", "dataset.synthetic.pairs=[3,1000000000]", "dataset.synthetic.pairs="),
        ("arc", "model.depth=1000000000", "model.depth=1000000000"),
        ("arc", "loss.queue=1000000000000", "loss.queue=1000000000000"),
        ("linear_byol", "epochs=1000000000000", "epochs=1000000000000"),
        ("linear_byol", "d_obs=1000000000000", "d_obs=1000000000000"),
        ("linear_byol", "batch_size=1000000000000", "batch_size=1000000000000"),
    ],
)
def test_a_size_that_no_machine_can_hold_is_refused_by_its_key(
    study: str, override: str, key: str, composed: dict[str, DictConfig]
) -> None:
    assert outcome(composed[study], f"++{override}", {}).startswith(key)
