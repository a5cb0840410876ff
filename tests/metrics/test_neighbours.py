"""Nearest neighbours and the agreement of their labels beyond chance."""

from __future__ import annotations

import pytest
import torch

from jepa_lab.metrics.neighbours import agreement, nearest, nearest_by_distance


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
