import math

import pytest
import torch
from torch import nn

from jepa_lab.networks.ema import ema_update, make_ema_copy, memory_of_tau, tau_at, tau_from_memory


def encoder() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_the_copy_starts_equal_and_needs_no_gradient() -> None:
    online = encoder()
    target = make_ema_copy(online)
    assert all(
        torch.equal(a, b)
        for a, b in zip(online.state_dict().values(), target.state_dict().values(), strict=True)
    )
    assert not any(p.requires_grad for p in target.parameters())


def test_the_update_interpolates_parameters_and_buffers_and_copies_integers() -> None:
    online, tau = encoder(), 0.75
    target = make_ema_copy(online)
    online(torch.randn(16, 3) * 3 + 1)
    with torch.no_grad():
        online[0].weight += 1.0
    before = {k: v.clone() for k, v in target.state_dict().items()}
    ema_update(target, online, tau)
    for key, value in target.state_dict().items():
        new = online.state_dict()[key]
        if value.is_floating_point():
            assert torch.allclose(value, tau * before[key] + (1 - tau) * new, atol=1e-6), key
        else:
            assert torch.equal(value, new)


def test_in_training_the_target_normalises_by_the_batch_and_keeps_its_running_statistics() -> None:
    target = make_ema_copy(encoder()).train()
    running = target[1].running_mean.clone()
    out = target(torch.randn(64, 3) * 5 + 2)
    assert torch.allclose(out.mean(0), torch.zeros(4), atol=1e-5)
    assert torch.equal(target[1].running_mean, running)


def test_in_evaluation_the_target_normalises_by_its_running_statistics() -> None:
    target = make_ema_copy(encoder()).eval()
    x = torch.randn(8, 3)
    linear = target[0](x)
    expected = (linear - target[1].running_mean) / torch.sqrt(target[1].running_var + target[1].eps)
    assert torch.allclose(target(x), expected, atol=1e-5)


@pytest.mark.parametrize(("epoch", "tau"), [(0, 0.996), (50, 0.998), (100, 1.0)])
def test_the_cosine_schedule_has_the_published_values(epoch: int, tau: float) -> None:
    assert tau_at(epoch, 100, 0.996, "cosine") == pytest.approx(tau)


def test_tau_from_memory_is_the_share_of_the_run() -> None:
    assert math.isclose(1 / (1 - tau_from_memory(0.05, 4000)), 200)
    assert tau_from_memory(0.05, 10) == 0.0


def test_memory_is_one_over_one_minus_tau_in_steps() -> None:
    assert memory_of_tau(tau_from_memory(0.1, 2040)) == 204
    assert memory_of_tau(0.0) == 1
    assert memory_of_tau(1.0) == 1e9
