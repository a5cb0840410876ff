"""The oracle's identity: equal rows are told apart by chance alone."""

from __future__ import annotations

import pytest
import torch

from error_rate_oracle import NOISE, identity

N, D = 400, 32


def rows(n: int = N) -> torch.Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(0))


def test_constant_rows_have_no_identity() -> None:
    assert identity(torch.ones(N, D), torch.ones(N, D)) < 0.02


def test_rows_that_differ_by_less_than_the_noise_have_none() -> None:
    one = 1 + 0.1 * NOISE * rows() / D**0.5
    assert identity(one, one) < 0.1


def test_rows_that_differ_by_more_are_found_again_under_small_changes() -> None:
    assert identity(rows(), rows()) == 1.0
    assert identity(rows(), rows() + 0.1 * rows().flip(0)) == 1.0
    assert identity(1 + 0.1 * rows(), 1 + 0.1 * rows()) == 1.0


@pytest.mark.parametrize("copies", [2, 4])
def test_copies_of_a_row_share_its_identity(copies: int) -> None:
    same = rows(N // copies).repeat(copies, 1)
    assert identity(same, same) == pytest.approx(1 / copies, abs=0.08)


def test_rows_of_different_images_have_the_identity_of_chance() -> None:
    assert identity(rows(), rows().roll(1, 0)) == 0.0
    other = torch.randn(N, D, generator=torch.Generator().manual_seed(1))
    assert identity(rows(), other) < 0.02
