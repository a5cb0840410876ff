"""The options that follow the public code, each off by default: their effect, and a run with all of
them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from jepa_lab.callbacks.probes import RSquared
from jepa_lab.errors import UserError
from jepa_lab.networks.ema import ema_update, make_ema_copy
from jepa_lab.networks.heads import ActionProjection
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.network import SeqJEPANetwork
from study_parts import prepare

Make = Callable[..., Config]


class Nothing(nn.Module):
    dim = 3


def tokens(two_calls: bool, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, nn.Module]:
    torch.manual_seed(0)
    projection = ActionProjection(2, 4)
    network = SeqJEPANetwork(
        Nothing(), nn.Identity(), nn.Identity(), projection, two_calls=two_calls
    )
    z = torch.zeros(*actions.shape[:2], 3)
    slots, towards = network.tokens(z, actions)
    return slots[..., 3:], towards, projection


def test_two_calls_give_the_predictors_action_its_own_batch_statistics() -> None:
    actions = torch.randn(16, 3, 2) + torch.arange(3.0)[:, None]
    slots, towards, projection = tokens(True, actions)
    last = projection.linear(actions[:, -1])
    assert torch.allclose(
        towards, (last - last.mean(0)) / (last.var(0, unbiased=False) + 1e-5).sqrt(), atol=1e-5
    )
    assert torch.equal(slots[:, -1], torch.zeros(16, 4))
    assert int(projection.norm.num_batches_tracked) == 2
    one_slots, one_towards, one = tokens(False, actions)
    assert torch.allclose(one_slots, slots, atol=1e-6)
    assert not torch.allclose(one_towards, towards, atol=0.1)
    assert int(one.norm.num_batches_tracked) == 1


def encoder() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


@pytest.mark.parametrize("how", ["averaged", "copied", "own_running"])
def test_target_buffers_are_averaged_copied_or_its_own(how: str) -> None:
    online = encoder()
    target = make_ema_copy(online, own_running=how == "own_running")
    online(torch.randn(32, 3) + 5)
    views = torch.randn(32, 3) - 5
    target(views)
    own = target[1].running_mean.clone()
    ema_update(target, online, 0.75, how)
    new, old = online[1].running_mean, torch.zeros(4)
    expected = {
        "averaged": 0.75 * old + 0.25 * new,
        "copied": new,
        "own_running": 0.1 * target[0](views).mean(0),
    }
    assert torch.allclose(target[1].running_mean, expected[how], atol=1e-5)
    assert torch.equal(own, old) is (how != "own_running")


def test_target_views_move_the_online_running_statistics_only_on_request(make_config: Make) -> None:
    counts = {}
    for how in ("averaged", "own_running"):
        module = train(
            make_config(f"target.bn_buffers={how}", "target=stopgrad", "dataset.epochs=1")
        ).module
        assert module is not None
        layer = next(m for m in module.network.encoder.modules() if isinstance(m, nn.BatchNorm2d))
        counts[how] = int(layer.num_batches_tracked)
    assert counts["own_running"] == 2 * counts["averaged"]


def test_teacher_buffer_option_needs_a_teacher(make_config: Make) -> None:
    with pytest.raises(UserError, match=r"target\.bn_buffers=copied"):
        make_config("target=stopgrad", "target.bn_buffers=copied")


def test_uniform_r2_counts_a_constant_dimension_as_zero() -> None:
    target = torch.stack([torch.arange(8.0), *[torch.ones(8)] * 3, torch.arange(8.0)], dim=1)
    metric = RSquared(5, constant_as_zero=True)
    metric.update(target, target)
    # the published oracle: 3 of 5 constant, all predicted
    assert float(metric.compute()) == pytest.approx(0.4)


def test_leak_probe_is_linear_on_request(make_config: Make) -> None:
    for head, layers in (("matched", 2), ("linear", 1)):
        config = make_config(f"probes.leak_head={head}", "dataset.epochs=1")
        result = train(config)
        assert result.module is not None
        probes = next(
            c for c in result.module.trainer.callbacks if type(c).__name__ == "OnlineProbes"
        )
        linears = [
            m for m in probes.heads["action_from_z_agg"].modules() if isinstance(m, nn.Linear)
        ]
        assert len(linears) == layers


@pytest.mark.parametrize(("epochs", "warmup"), [(10, 0.2), (1, 2.0)])
def test_warm_up_in_epochs_is_a_share_of_the_run(
    epochs: int, warmup: float, make_config: Make
) -> None:
    assert make_config(
        "optim.warmup_epochs=2", f"dataset.epochs={epochs}"
    ).optim.warmup == pytest.approx(warmup)


def test_all_options_together_build_and_train(make_config: Make) -> None:
    overrides = [
        "model.action_bn=two_calls",
        "target=ema",
        "target.bn_buffers=own_running",
        "probes.r2=uniform",
        "probes.leak_head=linear",
        "recipe=published_cosine",
    ]
    config = make_config(*overrides, "dataset.epochs=1")
    assert train(config).state == "completed"
    from study_parts import load_data

    assert prepare(config, load_data(config)).module.network.two_calls
