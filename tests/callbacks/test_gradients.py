"""Gradients of every term on the encoder: the numbers are right, and measuring them does not change
training."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from jepa_lab.callbacks.logging import gradient_statistics
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config

Make = Callable[..., Config]


def test_norms_and_cosines_are_those_of_the_gradients() -> None:
    w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    v = torch.nn.Parameter(torch.tensor([3.0]))
    prediction = (w * torch.tensor([3.0, 4.0])).sum()  # gradient (3, 4, 0)
    rate = w[0] * 2 + v[0] * 1.5  # gradient (2, 0, 1.5)
    values = gradient_statistics(
        {"prediction": prediction, "rate": rate, "none": v.detach().sum()}, [w, v]
    )
    assert values == pytest.approx(
        {
            "train/gradient/prediction": 5.0,
            "train/gradient/rate": 2.5,
            "train/gradient/none": 0.0,
            "train/gradient_cosine/rate": 6.0 / 12.5,
        }
    )


def test_opposite_terms_have_cosine_minus_one_whatever_their_weights() -> None:
    w = torch.nn.Parameter(torch.randn(10))
    loss = (w * torch.randn(10)).sum()
    values = gradient_statistics({"prediction": loss, "rate": -0.001 * loss}, [w])
    assert values["train/gradient_cosine/rate"] == pytest.approx(-1.0)


@pytest.mark.parametrize(
    "overrides", [[], ["optim.accumulate=2"], ["model.dropout=0.3", "target=ema"]]
)
def test_measuring_gradients_changes_no_bit_of_the_training(
    overrides: list[str], make_config: Make
) -> None:
    looked = train(make_config(*overrides, "monitor.gradients_every=1"))
    plain = train(make_config(*overrides, "monitor.gradients_every=null"))
    assert looked.module is not None
    assert plain.module is not None
    other = plain.module.state_dict()
    assert all(torch.equal(value, other[key]) for key, value in looked.module.state_dict().items())
    assert "train/gradient/rate" in looked.metrics
    assert not [key for key in plain.metrics if "gradient" in key]


@pytest.mark.parametrize("target", ["ema", "stopgrad", "shared"])
def test_the_prediction_reaches_the_encoder_in_every_target_mode(
    target: str, make_config: Make
) -> None:
    metrics = train(make_config(f"target={target}", "monitor.gradients_every=1")).metrics
    assert metrics["train/gradient/prediction"] > 0
    assert metrics["train/gradient/rate"] > 0
    assert -1 <= metrics["train/gradient_cosine/rate"] <= 1


def test_the_norm_is_that_of_the_weighted_term(make_config: Make) -> None:
    one, ten = (
        train(
            make_config(
                f"loss.lambda_rate={weight}", "monitor.gradients_every=1000", "dataset.epochs=1"
            )
        ).metrics
        for weight in (0.001, 0.01)
    )
    # at step 1
    assert ten["train/gradient/rate"] == pytest.approx(10 * one["train/gradient/rate"], rel=1e-3)
    assert ten["train/gradient/prediction"] == pytest.approx(
        one["train/gradient/prediction"], rel=1e-6
    )
