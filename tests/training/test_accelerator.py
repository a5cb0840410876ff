"""The settings of an accelerator change nothing on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from jepa_lab.config.schema import HardwareConfig
from jepa_lab.errors import UserError
from jepa_lab.ledger.identity import run_id
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.training.accelerator import accelerator_of, set_accelerator
from study_parts import load_data, prepare

Make = Callable[..., Config]


def settings() -> tuple[bool, bool, bool]:
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    return convolutions.allow_tf32, products.allow_tf32, convolutions.benchmark


@pytest.mark.parametrize(
    ("tf32", "expected"),
    [("off", (False, False)), ("convolutions", (True, False)), ("all", (True, True))],
)
def test_an_accelerator_gets_the_settings_and_a_cpu_does_not(
    tf32: str, expected: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = settings()
    hardware = HardwareConfig(name="auto", tf32=tf32, cudnn_benchmark=True)
    for available, accelerator in ((False, "auto"), (True, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda on=available: on)
        hardware.accelerator = accelerator
        set_accelerator(hardware)
        assert accelerator_of(hardware) is None
        assert settings() == before
    hardware.accelerator = "auto"
    try:
        set_accelerator(hardware)
        assert settings() == (*expected, True)
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before[0], before[2]
        torch.backends.cuda.matmul.allow_tf32 = before[1]


def test_another_precision_of_products_is_refused(make_config: Make) -> None:
    assert make_config("hardware.tf32=off").hardware.tf32 == "off"
    with pytest.raises(UserError, match=r"hardware\.tf32=bf16: expected one of off, conv"):
        make_config("hardware.tf32=bf16")


def test_every_network_is_compiled_once(make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda part: compiled.append(part))
    config = make_config("hardware.compile=true", "loss=dino", "aux=vicreg", "target=ema")
    module = prepare(config, load_data(config)).module
    network = module.network
    expected = [network.encoder, network.aggregator, network.predictor, network.action_projection]
    expected += [module.target_encoder, module.objective.match.student_head]
    expected += [module.objective.match.teacher_head, module.objective.aux["vicreg"].projector]
    assert {id(part) for part in compiled} == {id(part) for part in expected}
    assert len(compiled) == len(expected)


def test_products_in_tf32_are_part_of_a_runs_identity(make_config: Make) -> None:
    usual, rounded = (make_config(f"hardware.tf32={x}").counted() for x in ("convolutions", "all"))
    assert "tf32" not in usual["hardware"]
    assert run_id(usual, "data") != run_id(rounded, "data")
