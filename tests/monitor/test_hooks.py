"""Outputs of modules by name, for code that does not return its features."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from jepa_lab import Monitor
from jepa_lab.monitor import watch
from jepa_lab.monitor.hooks import first_tensor


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


def test_the_last_outputs_are_kept_without_their_gradient() -> None:
    net = model()
    outputs = watch(net, {"hidden": "1", "head": "2"})
    assert dict(outputs) == {}
    x = torch.randn(5, 8)
    net(torch.zeros(5, 8))
    y = net(x)
    assert torch.equal(outputs["head"], y)
    assert torch.equal(outputs["hidden"], net[1](net[0](x)))
    assert not outputs["head"].requires_grad


def test_closing_removes_the_hooks_and_keeps_the_outputs() -> None:
    net = model()
    outputs = watch(net, {"head": "2"})
    net(torch.ones(2, 8))
    kept = outputs["head"].clone()
    outputs.close()
    net(torch.zeros(4, 8))
    assert torch.equal(outputs["head"], kept)
    assert not net[2]._forward_hooks


def test_a_module_that_is_not_there_is_named_with_its_nearest() -> None:
    with pytest.raises(ValueError, match=r"tap: the model has no module 'encoder\.fc'"):
        watch(nn.ModuleDict({"encoder": nn.Identity()}), {"tap": "encoder.fc"})


def test_the_first_tensor_of_nested_outputs_is_taken() -> None:
    z = torch.ones(2)
    assert first_tensor({"a": None, "b": (3, [z, torch.zeros(1)])}) is z
    assert first_tensor("text") is None

    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> str:
            return "text"

    net = nn.Sequential(Odd())
    watch(net, {"odd": "0"})
    with pytest.raises(ValueError, match="odd: the output of Odd holds no tensor"):
        net(z)


def test_watched_outputs_are_features_for_the_monitor() -> None:
    net, monitor = model(), Monitor(every=1, n=64)
    outputs = watch(net, {"head": "2"})
    for step in range(5):
        net(torch.randn(64, 8))
        monitor.update(step, outputs)
    assert set(monitor.verdict().per_tap) == {"head"}
