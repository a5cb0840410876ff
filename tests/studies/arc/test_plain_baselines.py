"""Plain baselines of the retrieval: closed forms, ties, and the ranks written out longhand."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lab.metrics.retrieval import candidates
from jepa_lab.studies.arc.data.examples import Examples, make_examples
from jepa_lab.studies.arc.data.synthetic.synthetic import synthetic_splits
from jepa_lab.studies.arc.data.task import ArcTask, Grid, Pair
from jepa_lab.studies.arc.plain_baselines import (
    equal_cells,
    mean_ranks,
    measure,
    moved_shares,
    plain_ranks,
    plain_scores,
    predicted_sizes,
)


def grid(*rows: str) -> Grid:
    return np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8)


def examples_of(n: int = 12, **options: str) -> Examples:
    tasks = synthetic_splits(n_train=1, n_val=1, n_test=n, seed=3).test
    return make_examples(tasks, **options)  # type: ignore[arg-type]


def ranked(examples: Examples) -> dict[str, Tensor]:
    return plain_ranks(examples, torch.arange(len(examples)), candidates(examples.task, 20))


def test_equal_cells_are_the_share_at_the_same_place_and_0_for_another_size() -> None:
    grids = [grid("10", "20"), grid("10", "23"), grid("10", "20", "00"), grid("1020" * 7)]
    shares = equal_cells(measure(grids), torch.tensor([0]), torch.tensor([[0, 1, 2, 3]]))
    assert shares.tolist() == [[1.0, 0.75, 0.0, 0.0]]


def test_equal_cells_are_the_same_however_many_pairs_are_compared_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = np.random.default_rng(0)
    m = measure([source.integers(0, 3, (3, 4), dtype=np.uint8) for _ in range(9)])
    query, answers = torch.arange(9), torch.arange(9).repeat(9, 1)
    whole = equal_cells(m, query, answers)
    monkeypatch.setattr("jepa_lab.studies.arc.plain_baselines.PAIRS_AT_ONCE", 4)
    assert torch.equal(equal_cells(m, query, answers), whole)
    assert torch.equal(whole, whole.T)


def test_colour_shares_are_of_the_cells_of_the_grid() -> None:
    shares = measure([grid("011", "222"), grid("0" * 30)]).shares
    assert shares[0, :4].tolist() == pytest.approx([1 / 6, 2 / 6, 3 / 6, 0.0])
    assert shares[1].tolist() == [1.0] + [0.0] * 9


def test_moved_shares_add_the_mean_change_of_the_demonstrations_that_are_there() -> None:
    query = torch.tensor([[0.5, 0.5, 0.0]])
    before = torch.tensor([[[1.0, 0.0, 0.0], [0.8, 0.2, 0.0], [9.0, 9.0, 9.0]]])
    after = torch.tensor([[[0.8, 0.2, 0.0], [0.4, 0.2, 0.4], [0.0, 0.0, 0.0]]])
    present = torch.tensor([[True, True, False]])
    assert moved_shares(query, before, after, present).tolist()[0] == pytest.approx([0.2, 0.6, 0.2])
    assert torch.equal(moved_shares(query, before, after, present & False), query)


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        ([(3, 4), (5, 6)], [(3, 4), (5, 6)], (7, 9)),  # the size of the input
        ([(3, 4), (5, 6)], [(2, 1), (2, 1)], (2, 1)),  # one size
        ([(3, 4), (5, 6)], [(6, 12), (10, 18)], (14, 27)),  # a multiple of the input's
        ([(3, 4), (5, 6)], [(3, 1), (5, 1)], (7, 1)),  # each side by its own rule
        ([(3, 4), (5, 6)], [(1, 2), (2, 7)], (1.5, 4.5)),  # no rule: the mean
    ],
)
def test_the_predicted_size_follows_the_rule_that_holds_in_all_demonstrations(
    inputs: list[tuple[int, int]], outputs: list[tuple[int, int]], expected: tuple[float, float]
) -> None:
    absent = (1, 99)
    before, after = (torch.tensor([[*s, absent]]).double() for s in (inputs, outputs))
    query, present = torch.tensor([[7.0, 9.0]]).double(), torch.tensor([[True, True, False]])
    assert predicted_sizes(query, before, after, present)[0].tolist() == pytest.approx(expected)


def test_the_predicted_size_is_that_of_the_query_without_demonstrations() -> None:
    query, none = torch.tensor([[7.0, 9.0]]), torch.zeros(1, 0, 2)
    assert torch.equal(predicted_sizes(query, none, none, torch.zeros(1, 0).bool()), query)
    both, one = torch.tensor([[7.0, 9.0], [2.0, 2.0]]), torch.full((2, 1, 2), 3.0)
    found = predicted_sizes(both, one, one + 1, torch.tensor([[False], [True]]))
    assert found.tolist() == [[7.0, 9.0], [4.0, 4.0]]


def test_equal_scores_share_their_mean_rank() -> None:
    assert mean_ranks(torch.tensor([[0.1, 0.9, 0.1, 0.5]])).tolist() == [[3.5, 1.0, 3.5, 2.0]]


def test_ranks_are_those_of_the_scores_written_out_longhand() -> None:
    examples = examples_of()
    among = candidates(examples.task, 20)
    found = plain_ranks(examples, torch.arange(len(examples)), among)
    for i in range(len(examples)):
        numbers = [int(examples.target[i]), *examples.target[among[i]].tolist()]
        outputs = [examples.grids[number] for number in numbers]
        query = examples.grids[int(examples.context[i, -1])]
        equal = [
            float((output == query).mean()) if output.shape == query.shape else 0.0
            for output in outputs
        ]
        better = sum(score > equal[0] for score in equal)
        same = sum(score == equal[0] for score in equal) - 1
        assert found["equal_cells"][i] == 1 + better + same / 2
        shares = [np.bincount(g.ravel(), minlength=10) / g.size for g in (query, *outputs)]
        distances = [np.abs(share - shares[0]).sum() for share in shares[1:]]
        closer = sum(distance < distances[0] - 1e-9 for distance in distances)
        tied = sum(abs(distance - distances[0]) <= 1e-9 for distance in distances) - 1
        assert found["histogram"][i] == 1 + closer + tied / 2


def test_the_combination_sums_the_ranks_of_cells_size_and_moved_colours() -> None:
    examples = examples_of()
    scores = plain_scores(examples, torch.arange(len(examples)), candidates(examples.task, 20))
    parts = ("equal_cells", "size", "moved_histogram")
    assert torch.equal(scores["combined"], -sum(mean_ranks(scores[name]) for name in parts))


def test_a_rule_of_colours_is_found_by_the_moved_histogram_alone() -> None:
    """Every task fills another number of cells of noise, so that only the change is its mark."""
    source = np.random.default_rng(0)
    tasks = []
    for number in range(10):
        pairs = []
        for _ in range(3):
            before = source.integers(0, 5, (6, 6)).astype(np.uint8)
            after = source.permutation(before.ravel())
            after[np.flatnonzero(after < 5)[: 3 * number]] = 9
            pairs.append(Pair(before, after.reshape(6, 6)))
        tasks.append(ArcTask(str(number), tuple(pairs)))
    found = ranked(make_examples(tasks))
    assert (found["moved_histogram"] == 1).double().mean() > 0.6
    assert (found["histogram"] == 1).double().mean() < 0.3


def test_outputs_that_depend_on_nothing_are_ranked_by_chance() -> None:
    source = np.random.default_rng(0)

    def noise() -> Grid:
        return source.integers(0, 10, source.integers(3, 9, 2)).astype(np.uint8)

    tasks = [
        ArcTask(str(number), tuple(Pair(noise(), noise()) for _ in range(3)))
        for number in range(150)
    ]
    for rank in ranked(make_examples(tasks)).values():
        assert float(rank.mean()) == pytest.approx(11.0, abs=1.2)  # the middle of 21


def test_equal_outputs_get_the_middle_rank() -> None:
    same = Pair(grid("12", "30"), grid("11", "11"))
    tasks = [ArcTask(str(number), (same, same)) for number in range(6)]
    for rank in ranked(make_examples(tasks)).values():
        assert set(rank.tolist()) == {1 + (len(tasks) - 1) * 2 / 2}


@pytest.mark.parametrize("problem", ["frames", "copies"])
def test_without_demonstrations_there_are_no_moved_colours(problem: str) -> None:
    found = ranked(examples_of(problem=problem))
    assert set(found) == {"equal_cells", "histogram", "size", "combined"}


def test_the_random_streams_do_not_advance() -> None:
    examples = examples_of()
    before = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())
    ranked(examples)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]
