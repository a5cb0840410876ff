"""Rows that are no samples: equal and nearly equal rows, heavy rows, blocks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from jepa_lab.metrics.rows import (
    block_share,
    coincidence,
    equal_pairs,
    first_of_equal,
    first_of_near,
    heavy_rows,
    multiplicities,
    share_of,
    squared_distances,
    without_blocks,
)


def test_equal_rows_point_to_the_first_of_them() -> None:
    z = torch.tensor([[1.0, 0.0], [2.0, 3.0], [1.0, -0.0], [math.inf, 1.0], [2.0, 3.0]])
    first = first_of_equal(z)
    assert first.tolist() == [0, 1, 0, 3, 1]
    assert multiplicities(first).tolist() == [2, 2, 1]
    assert equal_pairs(first) == pytest.approx(4 / 20)
    assert first_of_equal(z.bfloat16()).tolist() == first.tolist()


def test_equal_rows_are_found_in_any_order_and_scale() -> None:
    z = torch.randn(20, 3).repeat(3, 1)
    order = torch.randperm(60)
    assert multiplicities(first_of_equal(1e-20 * z[order])).tolist() == [3] * 20


def test_coincidence_is_the_product_over_dimensions_of_the_pairs_that_agree() -> None:
    z = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert coincidence(z) == pytest.approx((2 / 6) ** 2)
    one_hot = torch.eye(4)[torch.arange(400) % 4]
    assert coincidence(one_hot) == pytest.approx((0.75**2 + 0.25**2) ** 4, rel=0.02)
    assert coincidence(torch.randn(400, 8)) < 1e-30
    with pytest.raises(ValueError, match="at least 2 rows"):
        coincidence(torch.ones(1, 2))


def test_heavy_rows_are_few_far_from_the_median_and_hold_the_variance() -> None:
    z = torch.randn(400, 16)
    z[[3, 200]] *= 1000
    for moved in (z, 1e-8 * z, z.double() + 1e4):
        assert heavy_rows(moved).nonzero().flatten().tolist() == [3, 200]
    squares = squared_distances(z)
    assert share_of(squares, heavy_rows(z)) > 0.99
    z[:60] *= 1000  # 15 % of the rows are no accident
    assert not heavy_rows(z).any()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_heavy_tails_alone_make_no_heavy_rows(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    scale = (torch.randn(1000, 3, generator=g).square().mean(dim=1, keepdim=True)).sqrt()
    assert not heavy_rows(torch.randn(1000, 16, generator=g) / scale).any()


def test_rows_that_float64_cannot_square_hold_all_of_the_variance() -> None:
    squares = torch.tensor([1.0, math.inf, 2.0], dtype=torch.float64)
    assert share_of(squares, torch.tensor([False, True, False])) == 1.0
    assert share_of(torch.zeros(3), torch.tensor([True, False, False])) == 0.0
    assert share_of(torch.tensor([1.0, 3.0]), torch.tensor([False, True])) == 0.75
    assert not heavy_rows(torch.ones(5, 2)).any()


@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_rows_stored_in_half_precision_are_near_copies(offset: float) -> None:
    z = torch.randn(200, 48, generator=torch.Generator().manual_seed(0)) + offset
    first = first_of_near(torch.cat([z, z.half().float(), z.bfloat16().float()]))
    assert first.tolist() == list(range(200)) * 3


def line(g: torch.Generator) -> Tensor:
    return torch.randn(600, 1, generator=g) @ torch.randn(1, 48, generator=g)


def plane(g: torch.Generator) -> Tensor:
    return torch.randn(600, 2, generator=g) @ torch.randn(2, 48, generator=g)


def wide(g: torch.Generator) -> Tensor:
    return torch.randn(600, 48, generator=g)


def clusters(g: torch.Generator) -> Tensor:
    return torch.randn(9, 48, generator=g).repeat(60, 1) + 0.01 * torch.randn(540, 48, generator=g)


@pytest.mark.parametrize("make", [line, plane, wide, clusters])
def test_rows_without_a_gap_in_their_distances_are_no_near_copies(make: object) -> None:
    z = make(torch.Generator().manual_seed(0))  # type: ignore[operator]
    assert first_of_near(z).tolist() == list(range(len(z)))


def test_near_copies_of_one_row_and_of_a_constant_are_themselves() -> None:
    assert first_of_near(torch.randn(1, 4)).tolist() == [0]
    assert first_of_near(torch.ones(3, 4)).tolist() == [0, 1, 2]


def test_block_share_is_that_of_the_means_of_blocks() -> None:
    z = torch.tensor([[0.0], [2.0], [10.0], [12.0]])
    assert block_share(z, 2) == pytest.approx(100 / 104)
    assert without_blocks(z, 2).flatten().tolist() == [-1.0, 1.0, -1.0, 1.0]
    assert block_share(z, 1) == pytest.approx(0.0, abs=1e-12)
    assert block_share(torch.ones(6, 2), 3) == 0.0
    assert block_share(torch.randn(2000, 4), 4) < 0.01
    with pytest.raises(ValueError, match="1 to 4 blocks"):
        block_share(z, 5)


def test_rows_of_another_shape_raise() -> None:
    for function in (first_of_equal, first_of_near, heavy_rows, coincidence):
        with pytest.raises(ValueError, match=r"expected rows \(n, d\)"):
            function(torch.ones(3))
    with pytest.raises(ValueError, match="not finite"):
        heavy_rows(torch.tensor([[math.nan], [1.0]]))
