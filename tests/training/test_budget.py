"""The number of validations of a run."""

from __future__ import annotations

import time

import pytest

from jepa_lab.training.budget import _validations


def test_the_epochs_are_divided_into_the_least_number_of_validations_from_12_on() -> None:
    for epochs in range(1, 1000):
        wanted = min(n for n in range(1, epochs + 1) if epochs % n == 0 and n >= min(epochs, 12))
        assert _validations(epochs) == wanted


@pytest.mark.parametrize("epochs", [10**12, 10**12 + 39], ids=["composite", "prime"])
def test_many_epochs_are_divided_at_once(epochs: int) -> None:
    start = time.perf_counter()
    assert epochs % _validations(epochs) == 0
    assert time.perf_counter() - start < 10  # trying every number would take hours
