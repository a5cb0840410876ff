"""Retrieval among targets of other tasks: closed forms, invariances, and equal vectors."""

from __future__ import annotations

import pytest
import torch

from jepa_lab.metrics.retrieval import candidates, rank_values, ranks, ranks_of_scores, retrieval


def rows(n: int, d: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_the_true_target_is_always_first_for_a_perfect_prediction() -> None:
    z, among = rows(30), candidates(torch.arange(30))
    assert retrieval(3.0 * z, z, among) == {"top1": 1.0, "mrr": 1.0}


def test_the_rank_is_one_plus_the_number_of_nearer_targets() -> None:
    target = torch.eye(4)
    query = torch.tensor([[0.5, 0.6, 0.7, 0.1]]).expand(4, 4)
    among = candidates(torch.arange(4))
    assert ranks(query, target, among).tolist() == [3.0, 2.0, 1.0, 4.0]
    assert retrieval(query, target, among)["mrr"] == pytest.approx((1 / 3 + 1 / 2 + 1 + 1 / 4) / 4)


def test_a_collapsed_representation_gets_the_middle_rank_and_no_top1() -> None:
    same = torch.ones(51, 8)
    among = candidates(torch.arange(51), number=50)
    assert ranks(same, same, among).unique().tolist() == [26.0]
    assert retrieval(same, same, among)["top1"] == 0.0


def test_ranks_do_not_depend_on_scale_or_rotation() -> None:
    query, target, among = rows(40), rows(40, seed=1), candidates(torch.arange(40) // 2)
    turn = torch.linalg.qr(rows(16, seed=2)).Q
    scaled = target * torch.rand(40, 1).add(0.5)
    assert torch.equal(ranks(query, target, among), ranks(2 * query @ turn, scaled @ turn, among))


def test_random_vectors_score_at_chance() -> None:
    n = 2000
    found = retrieval(rows(n), rows(n, seed=1), candidates(torch.arange(n), number=100))
    assert found["top1"] == pytest.approx(1 / 101, abs=0.008)
    assert found["mrr"] == pytest.approx(sum(1 / k for k in range(1, 102)) / 101, abs=0.01)


def test_candidates_are_of_other_tasks_unique_and_reproducible() -> None:
    tasks = torch.arange(150) // 3
    among = candidates(tasks)
    assert among.shape == (150, 100)
    assert not bool((tasks[among] == tasks.unsqueeze(1)).any())
    assert all(len(set(row)) == 100 for row in among.tolist())
    assert torch.equal(among, candidates(tasks))


def test_the_row_with_the_fewest_candidates_limits_their_number() -> None:
    assert candidates(torch.tensor([0, 0, 0, 1, 2])).shape == (5, 2)


def test_rows_of_a_single_task_raise() -> None:
    with pytest.raises(ValueError, match="one task"):
        candidates(torch.zeros(5, dtype=torch.int64))


def test_the_rank_of_a_score_counts_better_ones_and_half_of_the_equal_ones() -> None:
    own, others = torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.5, 0.1], [0.1, 0.2, 0.3]])
    assert ranks_of_scores(own, others).tolist() == [2.5, 1.0]


def test_a_shared_first_rank_does_not_count_as_first() -> None:
    values = rank_values(torch.tensor([1.0, 1.5, 2.0], dtype=torch.float64))
    assert values["top1"] == pytest.approx(1 / 3)
    assert values["mrr"] == pytest.approx((1 + 1 / 1.5 + 1 / 2) / 3)


def test_features_that_are_not_finite_have_no_rank() -> None:
    z, among = rows(30), candidates(torch.arange(30))
    diverged = torch.full_like(z, torch.nan)
    assert ranks(diverged, z, among).isnan().all()
    assert all(value.isnan() for value in retrieval(diverged, diverged, among).values())
    z[3] = torch.inf
    assert ranks(z, rows(30), among).isnan().tolist() == [i == 3 for i in range(30)]
