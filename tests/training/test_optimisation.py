import pytest
import torch
from torch import nn

from jepa_lab.config.schema import OptimConfig
from jepa_lab.networks.aggregator import TransformerAggregator
from jepa_lab.training.optimisation import build_optimiser, learning_rate_factor, parameter_groups


def optim(**changes: object) -> OptimConfig:
    settings = {
        "name": "adamw",
        "lr": 4e-4,
        "weight_decay": 0.1,
        "schedule": "cosine",
        "warmup": 1 / 3,
        "lr_min": 1 / 40,
    }
    return OptimConfig(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("step", "lr"), [(0, 4e-5), (9, 4e-4), (10, 4e-4), (29, 1e-5)])
def test_warmup_and_cosine_pass_through_the_reference_values(step: int, lr: float) -> None:
    assert 4e-4 * learning_rate_factor(step, 30, optim()) == pytest.approx(lr)


def test_a_constant_schedule_stays_at_one_after_the_warmup() -> None:
    factors = [
        learning_rate_factor(s, 100, optim(schedule="constant", warmup=0.1)) for s in range(100)
    ]
    assert factors[0] == pytest.approx(0.1)
    assert all(f == 1.0 for f in factors[10:])


def test_gains_biases_and_the_aggregate_token_do_not_decay() -> None:
    aggregator = TransformerAggregator(8, depth=1, heads=2, positions="learned")
    decayed, plain = parameter_groups(aggregator, 0.1)
    assert all(p.ndim >= 2 for p in decayed["params"])  # type: ignore[attr-defined]
    tokens = {id(aggregator.agg_token), id(aggregator.position_code)}
    assert tokens <= {id(p) for p in plain["params"]}  # type: ignore[attr-defined]
    together = len(decayed["params"]) + len(plain["params"])  # type: ignore[arg-type]
    assert together == len(list(aggregator.parameters()))


def test_frozen_parameters_are_in_no_group() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert sum(len(g["params"]) for g in build_optimiser(model, optim()).param_groups) == 1


def test_the_names_adam_and_adamw_select_these_optimisers() -> None:
    assert type(build_optimiser(nn.Linear(2, 2), optim(name="adam"))) is torch.optim.Adam
    assert type(build_optimiser(nn.Linear(2, 2), optim())) is torch.optim.AdamW
