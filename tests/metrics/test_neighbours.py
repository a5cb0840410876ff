"""Nearest neighbours and the agreement of their labels beyond chance."""

from __future__ import annotations

import pytest
import torch

from jepa_lab.metrics.neighbours import (
    adjacent_share,
    agreement,
    linked_share,
    nearest,
    nearest_by_distance,
)


def test_nearest_reads_the_direction_about_the_mean_and_distance_the_place() -> None:
    z = torch.tensor([[-3.0], [-1.0], [1.5], [4.0]])
    assert nearest_by_distance(z).tolist() == [1, 0, 1, 2]
    square = torch.tensor([[1.0, 0.0], [2.0, 0.1], [-1.0, 0.0], [-2.0, -0.1]])
    for moved in (square, 1e-9 * square, square + 5):
        assert nearest(moved).tolist() == [1, 0, 3, 2]
        assert nearest_by_distance(moved).tolist() == [1, 0, 3, 2]


def test_agreement_is_1_if_every_row_agrees_and_0_at_chance() -> None:
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    found = agreement(labels, torch.tensor([1, 0, 3, 2, 5, 4, 7, 6]))
    assert found is not None
    assert found.chance == pytest.approx((30 + 2) / 56)
    assert (found.accuracy, found.above_chance) == (1.0, 1.0)
    generator = torch.Generator().manual_seed(0)
    rare = (torch.rand(4000, generator=generator) < 0.05).long()
    other = (torch.arange(4000) + torch.randint(1, 4000, (4000,), generator=generator)) % 4000
    by_chance = agreement(rare, other)
    assert by_chance is not None
    assert by_chance.accuracy > 0.85
    assert abs(by_chance.above_chance) < 3 * by_chance.error


def test_a_class_that_is_lost_among_the_others_is_counted() -> None:
    labels = torch.tensor([0] * 40 + [1] * 40 + [2] * 20)
    neighbour = (torch.arange(80) // 40) * 40 + (torch.arange(80) + 1) % 40
    found = agreement(labels, torch.cat([neighbour, torch.arange(20)]))
    assert found is not None
    assert (found.classes, found.lost) == (3, 1)


def test_no_agreement_without_two_classes_or_with_one_row_each() -> None:
    assert agreement(torch.zeros(4, dtype=torch.long), torch.tensor([1, 0, 3, 2])) is None
    assert agreement(torch.arange(4), torch.tensor([1, 0, 3, 2])) is None


def test_rows_within_the_lag_are_passed_over() -> None:
    z = torch.arange(8.0)[:, None] ** 1.1
    assert nearest_by_distance(z, 1).tolist() == [2, 3, 0, 1, 2, 3, 4, 5]
    assert nearest_by_distance(z, 3).tolist() == [4, 5, 6, 7, 0, 1, 2, 3]
    for find in (nearest, nearest_by_distance):
        x = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
        assert int((find(x, 4) - torch.arange(30)).abs().min()) > 4


def test_the_share_of_adjacent_neighbours_counts_its_band() -> None:
    neighbour = (torch.arange(12) + 1) % 12
    assert adjacent_share(neighbour) == pytest.approx(11 / 12)
    assert adjacent_share(neighbour, 1) == 0.0
    four_on = (torch.arange(12) + 4) % 12
    assert adjacent_share(four_on, 3) == pytest.approx(8 / 12)
    assert adjacent_share(four_on, 2) == 0.0  # exactly 3 rows away
    assert adjacent_share(four_on, 7) == pytest.approx(4 / 12)


def test_adjacent_neighbours_count_beyond_what_labels_explain() -> None:
    chain = torch.arange(100) + 1
    chain[-1] = 98
    assert linked_share(torch.arange(100) // 50, chain) > 0.97
    pairs = torch.arange(100) // 2
    assert linked_share(pairs, torch.arange(100) ^ 1) == 0.0  # the only row of the label
    g = torch.Generator().manual_seed(0)
    other = (torch.arange(2000) + torch.randint(1, 2000, (2000,), generator=g)) % 2000
    assert abs(linked_share(torch.arange(2000) % 7, other)) < 0.01
    block = torch.arange(2000) // 4 * 4
    same = block + (torch.arange(2000) + torch.randint(1, 4, (2000,), generator=g)) % 4
    assert adjacent_share(same) > 0.45
    assert abs(linked_share(torch.arange(2000) // 4, same)) < 0.05


def test_chance_is_that_of_rows_beyond_the_lag() -> None:
    labels = torch.arange(40) // 10
    beyond = agreement(labels, (torch.arange(40) + 20) % 40, lag=10)
    assert beyond is None  # no such rows share a label
    near = agreement(labels, torch.arange(40) ^ 1, lag=0)
    some = agreement(labels, (torch.arange(40) + 6) % 40, lag=5)
    assert near is not None
    assert some is not None
    assert some.chance < near.chance
    assert (near.lag, some.lag) == (0, 5)
    assert some.error == pytest.approx((6 * some.chance / (1 - some.chance) / 40) ** 0.5)
