"""Teacherless C: the sequence in both directions, with every action inverted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from jepa_lab.data.views.sequences import SequenceBatch
from jepa_lab.errors import UserError
from jepa_lab.studies.seq_jepa.build import build_module
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.studies.seq_jepa.parts import build_loaders, build_views
from study_parts import load_data

Make = Callable[..., Config]
RANDOM = "dataset.first_view=random"


def module_and_batch(config: Config) -> tuple[SeqJEPA, SequenceBatch]:
    splits = load_data(config)
    torch.manual_seed(0)
    module = build_module(config, build_views(config, splits.train), splits.train, 4)
    return module, module.on_after_batch_transfer(
        next(iter(build_loaders(config, splits)["train"])), 0
    )


def loss_and_gradient(config: Config) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    module, batch = module_and_batch(config)
    module.train()
    torch.manual_seed(1)
    loss = module.training_step(batch, 0)
    loss.backward()
    gradient = torch.cat(
        [p.grad.flatten() for p in module.network.encoder.parameters() if p.grad is not None]
    )
    return loss.detach(), gradient, module.terms


def test_symmetric_changes_the_loss_and_its_gradient(make_config: Make) -> None:
    plain = loss_and_gradient(make_config(RANDOM, "model.dropout=0"))
    both = loss_and_gradient(make_config(RANDOM, "model.dropout=0", "loss.symmetric=true"))
    assert not torch.isclose(plain[0], both[0])
    assert not torch.allclose(plain[1], both[1])


def test_symmetric_loss_is_the_mean_of_both_directions_for_every_term(make_config: Make) -> None:
    config = make_config(RANDOM, "model.dropout=0", "loss.symmetric=true", "loss.lambda_rate=0.1")
    module, batch = module_and_batch(config)
    module.eval()  # batch statistics fixed, so that the two passes can be repeated one by one
    total = module.training_step(batch, 0)
    ways = [module.objective(module(b), b.labels) for b in (batch, module.group.reverse(batch))]
    assert torch.allclose(total, (ways[0].total + ways[1].total) / 2)
    for term in ("prediction", "rate"):
        assert torch.allclose(module.terms[term], (ways[0].terms[term] + ways[1].terms[term]) / 2)


def test_both_directions_of_a_palindrome_are_equal(make_config: Make) -> None:
    module, batch = module_and_batch(make_config(RANDOM, "model.dropout=0", "loss.symmetric=true"))
    module.eval()
    params = torch.cat([batch.params[:, :2], batch.params[:, :2].flip(1)], dim=1)
    group = module.group
    views = torch.cat([batch.views[:, :2], batch.views[:, :2].flip(1)], dim=1)
    actions = group.relative(params[:, :-1], params[:, 1:])
    same = SequenceBatch(views, actions, params, group.absolute(params), batch.labels, batch.index)
    forward, backward = module(same), module(group.reverse(same))
    assert torch.allclose(forward.z_hat, backward.z_hat, atol=1e-6)
    assert torch.allclose(forward.z_target, backward.z_target, atol=1e-6)


@pytest.mark.parametrize("dataset", ["digits_rot", "digits_affine", "digits_saccade"])
def test_reversed_batch_has_the_actions_of_its_own_views(dataset: str, make_config: Make) -> None:
    module, batch = module_and_batch(make_config(f"dataset={dataset}", RANDOM))
    group, back = module.group, module.group.reverse(batch)
    assert torch.allclose(
        back.actions, group.relative(back.params[:, :-1], back.params[:, 1:]), atol=1e-5
    )
    assert torch.equal(back.target, batch.views[:, 0])
    again = group.reverse(back)
    assert torch.equal(again.views, batch.views)
    assert torch.allclose(again.actions, batch.actions, atol=1e-6)


def test_action_and_its_inverse_restore_the_pixels(make_config: Make) -> None:
    module, batch = module_and_batch(make_config(RANDOM))
    turns = torch.atan2(batch.actions[..., 0], batch.actions[..., 1]) / (torch.pi / 2)
    back = module.group.inverse(batch.actions)
    turns_back = torch.atan2(back[..., 0], back[..., 1]) / (torch.pi / 2)
    for b in range(4):
        for i in range(batch.actions.shape[1]):
            there = torch.rot90(batch.views[b, i], round(float(turns[b, i])), (-2, -1))
            assert torch.equal(there, batch.views[b, i + 1])
            assert torch.equal(
                torch.rot90(there, round(float(turns_back[b, i])), (-2, -1)), batch.views[b, i]
            )


@pytest.mark.parametrize("target", ["ema", "stopgrad", "shared"])
@pytest.mark.parametrize("symmetric", ["true", "false"])
def test_gradient_reaches_the_encoder_from_the_prediction(
    target: str, symmetric: str, make_config: Make
) -> None:
    line = (RANDOM, f"target={target}", "loss.lambda_rate=0", f"loss.symmetric={symmetric}")
    assert float(loss_and_gradient(make_config(*line))[1].abs().sum()) > 0


def test_symmetric_with_a_reference_first_view_is_refused(make_config: Make) -> None:
    with pytest.raises(
        UserError, match=r"loss\.symmetric=true and dataset\.first_view=reference contradict"
    ):
        make_config("loss.symmetric=true")


def test_evaluation_views_begin_with_the_configured_first_view(make_config: Make) -> None:
    module, _ = module_and_batch(make_config(RANDOM, "dataset.eval_first_view=reference"))
    images = torch.randint(0, 256, (8, 1, 16, 16), dtype=torch.uint8)
    upright = module.on_after_batch_transfer(("val", torch.arange(8), images, None), 0)
    assert bool((upright.params[:, 0] == 0).all())
    module.eval_first_view = None
    drawn = module.on_after_batch_transfer(("val", torch.arange(8), images, None), 0)
    assert not bool((drawn.params[:, 0] == 0).all())
    assert torch.equal(drawn.params[:, 1:], upright.params[:, 1:])
