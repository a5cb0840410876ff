"""Overrides that a user typed are taken back one at a time, to the value of the experiment."""

from __future__ import annotations

from typing import Any

import pytest

from jepa_lab.cli.compose import checked
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.training.typed_changes import taken_back


def changes(*overrides: str) -> dict[str, bool]:
    line = CommandLine(("+experiment=seq_jepa_baseline", *overrides))
    found = taken_back(line, lambda one: checked(one.overrides))
    return {candidate.name: candidate.hot for candidate in found}


@pytest.mark.parametrize(
    ("override", "change", "hot"),
    [
        ("optim.lr=0.3", "optim.lr=0.001", True),
        ("target=shared", "target=ema", True),
        ("model.action_conditioning=false", "model.action_conditioning=true", False),
        ("dataset.batch_size=8", "dataset.batch_size=64", False),
    ],
)
def test_an_override_is_taken_back_to_the_value_of_the_experiment(
    override: str, change: str, hot: bool
) -> None:
    assert changes(override) == {change: hot}


@pytest.mark.parametrize(
    "override",
    ["seed=7", "tier=smoke", "dataset.epochs=3", "hardware.threads=1", "keep=all", "optim.lr=1e-3"],
)
def test_budget_machine_and_values_without_effect_are_no_suspects(override: str) -> None:
    assert changes(override) == {}


def test_an_override_that_another_needs_stays() -> None:
    found: dict[str, Any] = changes("loss=dino", "loss.prototypes=16")
    assert "loss.prototypes=16" not in found
