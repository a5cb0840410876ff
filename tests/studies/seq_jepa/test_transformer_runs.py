"""Runs whose encoder is a vision transformer or a model of timm: they train, are checked before,
and their identity counts what shapes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from jepa_lab.data.images.image_source import Splits
from jepa_lab.errors import UserError
from jepa_lab.ledger.identity import run_id
from jepa_lab.ledger.read import read_json
from jepa_lab.studies import find
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.build import build_module
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.memory import bytes_needed
from jepa_lab.studies.seq_jepa.parts import build_loaders, build_views
from jepa_lab.studies.seq_jepa.preflight import run_preflight
from jepa_lab.training.budget import build_budget
from killed_runs import difference, finish, start, state_of

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str, str]]
VIT = ["encoder=vit_tiny", "encoder.depth=2", "encoder.width=16", "encoder.heads=2"]
SMALL = [*VIT, "encoder=vit_small", "encoder.pool=mean", "encoder.drop_path=0.2"]
TIMM = [
    *("encoder=timm", "encoder.name=vit_tiny_patch16_224", "encoder.patch_size=8"),
    "encoder.drop_path=0.1",
]
ENCODERS = {"vit_tiny": VIT, "vit_small": SMALL, "timm": TIMM}


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "timm":
        pytest.importorskip("timm", reason="the extra timm is not installed")
    return ENCODERS[request.param]


def test_a_run_trains_and_its_checks_pass(encoder: list[str], make_config: Make) -> None:
    config = make_config(*encoder, "preflight=strict", experiment="seq_jepa_baseline")
    train(config)
    (home,) = Path(config.runs_dir).rglob("summary.json")
    metrics = read_json(home)["metrics"]
    loss = metrics["train/loss/prediction"]
    assert loss["last"] < loss["max"]
    assert (home.parent / "status.json").read_text().count("completed") == 1


def parts(config: Config) -> tuple[Splits, torch.nn.Module]:
    data = find("seq_jepa").study.load(config)
    return data, build_module(config, build_views(config, data.train), data.train, steps=4)


def test_no_check_finds_a_fault(encoder: list[str], make_config: Make) -> None:
    config = make_config(*encoder, experiment="seq_jepa_baseline")
    data, module = parts(config)
    budget = build_budget(config, len(build_loaders(config, data)["train"]))
    found = run_preflight(config, data, module, budget)  # type: ignore[arg-type]
    assert not found.failures


def test_memory_grows_with_the_encoder(make_config: Make) -> None:
    data = find("seq_jepa").study.load(make_config())
    small, wide, deep = (
        bytes_needed(make_config(*VIT, *more), data)
        for more in ([], ["encoder.width=64"], ["encoder.depth=100"])
    )
    assert small < wide
    blocks = 100 / 2
    assert deep > 0.3 * blocks * small


def test_a_run_that_is_killed_and_resumed_is_the_same_to_the_bit(tmp_path: Path) -> None:
    given = [*SMALL, "monitor.save_every_s=0", "keep=all"]
    process = start(tmp_path / "killed", given, "a training batch", 6)
    process.join()
    assert process.exitcode != 0
    resumed, whole = finish(tmp_path / "killed", given), finish(tmp_path / "whole", given)
    assert difference(state_of(resumed), state_of(whole)) is None


def test_options_of_a_transformer_count_and_older_encoders_keep_their_identity(
    make_config: Make,
) -> None:
    assert make_config("encoder.widths=[8]").counted()["encoder"] == {
        "name": "resnet_small",
        "widths": [8],
    }
    known = {
        run_id(make_config(*VIT, *more).counted(), "data")
        for more in ([], ["encoder.pool=mean"], ["encoder.drop_path=0.1"], ["encoder.patch_size=2"])
    }
    assert len(known) == 4


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ([*VIT, "encoder.heads=3"], "encoder.width=16: must be a multiple of encoder.heads=3"),
        ([*VIT, "encoder.width=18"], "encoder.width=18: must be a multiple of 4"),
        ([*VIT, "encoder.patch_size=5"], "encoder.patch_size=5: views of 16x16 pixels are no"),
        ([*VIT, "encoder.pool=max"], "encoder.pool=max: expected one of cls, mean"),
        ([*VIT, "encoder.depth=null"], "encoder.depth is missing: encoder=vit_tiny needs it"),
        ([*VIT, "encoder.drop_path=1"], "encoder.drop_path=1.0: must lie between 0 and 0.9"),
        (["encoder=resnet_small", "+encoder.depth=3"], "encoder=resnet_small does not have it"),
        (["encoder=timm"], "encoder.name"),
    ],
)
def test_an_option_that_is_wrong_is_one_line(
    given: list[str], line: str, tmp_path: Path, command: Command
) -> None:
    code, _, err = command("+experiment=teacherless_b", "tier=smoke", *given)
    assert code == 2
    assert line in err.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


def test_a_model_that_timm_lacks_is_one_line(make_config: Make) -> None:
    pytest.importorskip("timm", reason="the extra timm is not installed")
    with pytest.raises(UserError, match=r"encoder\.name=vit_tinny: timm has no such model"):
        parts(make_config("encoder=timm", "encoder.name=vit_tinny"))
