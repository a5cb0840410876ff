"""On an accelerator a training step makes the host wait once, for the check that its values are
finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from jepa_lab.callbacks import CodebookRefresh, OnlineProbes, TargetEMA
from jepa_lab.callbacks.codebook_log import CodebookLog
from jepa_lab.callbacks.finite import FiniteGuard
from jepa_lab.devices import sent
from jepa_lab.studies.linear_byol.grid import members
from jepa_lab.studies.linear_byol.module import Block, LinearBYOL
from jepa_lab.studies.seq_jepa.probes import SeqJEPAProbes
from stand_in import DEVICE, seeing_waits, waits_of_steps
from study_parts import load_data, prepare
from toy_configs import configure

Make = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore")  # of Lightning, about a loader alone
GUARD = "copy to the host callbacks/finite.py"
MATCHING = "copy to the host studies/arc/relational.py"
SEQ_JEPA: dict[str, list[str]] = {
    "rotations and the coding rate": ["loss.rate_target=both"],
    "affine views and an EMA": ["dataset=digits_affine", "target=ema", "model.positions=sincos"],
    "augmentations and SIGReg": ["dataset=digits_aug", "recipe.lambda_rate=0", "aux=sigreg"],
    "saccades and DINO": ["dataset=digits_saccade", "recipe.lambda_rate=0", "aux=dino"],
}
ARC: dict[str, list[str]] = {
    "arc_jepa": ["loss.relational.weight=0.1"],
    "arc_gumbel": ["model.context=gru"],
    "arc_sixth_run": [],
}


@pytest.mark.parametrize("case", SEQ_JEPA)
def test_a_step_of_seq_jepa_waits_once(
    case: str, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(*SEQ_JEPA[case])
    parts = prepare(config, load_data(config))
    options: Any = {"lr": 1e-3, "weight_decay": 0.0, "hidden": 8, "steps": 9, "seed": 0}
    callbacks: list[Any] = [FiniteGuard(), OnlineProbes(SeqJEPAProbes(), **options)]
    if config.target.name == "ema":
        callbacks.insert(1, TargetEMA(0.9, "constant", 9))
    _, later = waits_of_steps(parts.module, parts.loaders["train"], callbacks, monkeypatch)
    assert [place.partition(":")[0] for place in later] == [GUARD]


@pytest.mark.parametrize("experiment", ARC)
def test_a_step_of_arc_waits_once_and_once_more_for_a_matching(
    experiment: str, make_arc: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_arc(*ARC[experiment], experiment=experiment)
    parts = prepare(config, load_data(config))
    callbacks: list[Any] = [FiniteGuard(), CodebookLog()]
    if config.target.name == "ema":
        callbacks.append(TargetEMA(0.9, "constant", 9))
    if experiment == "arc_sixth_run":
        callbacks.append(CodebookRefresh(1000, 0.05, "legacy_share", steps=9))
    _, later = waits_of_steps(parts.module, parts.loaders["train"], callbacks, monkeypatch)
    expected = [MATCHING, GUARD] if experiment == "arc_jepa" else [GUARD]
    assert [place.partition(":")[0] for place in later] == expected


def test_a_block_of_the_toy_waits_as_often_for_fifty_steps_as_for_one() -> None:
    runs = members(configure("d_latent=3", "d_obs=8", "batch_size=4", "lr_pred=1e-3", "epochs=99"))
    module = LinearBYOL(runs).to(DEVICE)
    with seeing_waits() as waits:
        module.training_step(Block(1, 1))  # sends the data of the next steps
        counts = []
        for block in (Block(2, 2), Block(3, 52)):
            waits.places.clear()
            module.training_step(block)
            counts.append(len(waits.places))
    assert counts[0] == counts[1] > 0


def test_the_stand_in_sees_everything_that_makes_a_host_wait() -> None:
    here, there = torch.arange(3), torch.zeros(3, device=DEVICE)
    actions: dict[str, Callable[[], object]] = {
        "item": lambda: bool((there > 0).any()),
        "copy to the host": there.tolist,
        "copy to the device": lambda: here.to(DEVICE),
        "numbers to the device": lambda: there.new_tensor([1.0]),
        "aten.nonzero": there.nonzero,
        "aten.index": lambda: there[there > 0],
        "aten.index_put_": lambda: there.index_put_((there > 0,), there[0]),
    }
    with seeing_waits() as waits:
        for seen, action in actions.items():
            waits.places.clear()
            action()
            assert [place.split(" tests")[0].strip() for place in waits.places] == [seen]
        waits.places.clear()
        sent(here, DEVICE), there.sum(), there[sent(here, DEVICE)]
        assert waits.places == []
