"""The retrieval beside plain baselines, and by kind of rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from jepa_lab.metrics.retrieval import candidates
from jepa_lab.studies.arc.data.examples import make_examples
from jepa_lab.studies.arc.data.synthetic.synthetic import synthetic_splits
from jepa_lab.studies.arc.plain_baselines import plain_ranks
from jepa_lab.studies.arc.retrieval import (
    RankedSplit,
    compared_values,
    kinds_of,
    plain_values,
    values_by_kind,
)


@pytest.fixture(scope="module")
def split() -> RankedSplit:
    tasks = synthetic_splits(n_train=1, n_val=1, n_test=12, seed=3).test
    return RankedSplit(make_examples(tasks), tasks)


def rows(split: RankedSplit, index: torch.Tensor) -> dict[str, torch.Tensor]:
    """Returns rows with a perfect prediction and a random copy."""
    target = torch.randn(len(index), 6, generator=torch.Generator().manual_seed(0))
    copied = torch.randn(len(index), 6, generator=torch.Generator().manual_seed(1))
    task = split.examples.task[index]
    return {"index": index, "task": task, "z_hat": target, "z_target": target, "copied": copied}


def test_values_by_kind_are_shares_of_the_rows_of_the_kind() -> None:
    places = {"": torch.tensor([1.0, 2.0, 1.0]), "copy_": torch.tensor([2.0, 2.0, 1.0])}
    assert values_by_kind(places, ["move", "move", "draw"]) == {
        "retrieval/rule/draw/top1": 1.0,
        "retrieval/rule/draw/copy_top1": 1.0,
        "retrieval/rule/draw/n": 1.0,
        "retrieval/rule/move/top1": 0.5,
        "retrieval/rule/move/copy_top1": 0.0,
        "retrieval/rule/move/n": 2.0,
    }


def test_the_kind_is_that_of_the_rule_or_else_the_size_of_the_output(split: RankedSplit) -> None:
    examples, index = split.examples, torch.tensor([5, 0, 30])
    numbers = examples.task[index].tolist()
    assert kinds_of(split, index) == [split.tasks[number].kind for number in numbers]
    unknown = RankedSplit(examples, [replace(task, kind="") for task in split.tasks])
    everything = torch.arange(len(examples))
    same = [
        examples.grids[int(context[-1])].shape == examples.grids[int(target)].shape
        for context, target in zip(examples.context, examples.target, strict=True)
    ]
    assert kinds_of(unknown, everything) == [
        "same_size" if equal else "other_size" for equal in same
    ]
    assert 0 < sum(same) < len(same)


def test_the_baselines_have_the_queries_and_candidates_of_the_network(split: RankedSplit) -> None:
    index = torch.arange(7, 31)  # not the first rows: candidates are positions among these rows
    values = compared_values(rows(split, index), split, by_kind=False)
    among = candidates(split.examples.task[index])
    assert values == plain_values(plain_ranks(split.examples, index, among))
    assert not any("/rule/" in key for key in values)


def test_by_kind_the_best_baseline_is_beside_prediction_and_copy(split: RankedSplit) -> None:
    index = torch.arange(len(split.examples))
    values = compared_values(rows(split, index), split, by_kind=True)
    kinds = kinds_of(split, index)
    shares = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}
    assert {values[f"retrieval/rule/{kind}/top1"] for kind in shares} == {1.0}
    of_all = sum(values[f"retrieval/rule/{kind}/plain_top1"] * shares[kind] for kind in shares)
    best = max(values[key] for key in values if "/plain/" in key and key.endswith("/top1"))
    assert of_all == pytest.approx(best)
    assert sum(values[f"retrieval/rule/{kind}/n"] for kind in shares) == len(kinds)


def test_rows_of_one_task_have_no_retrieval(split: RankedSplit) -> None:
    assert compared_values(rows(split, torch.arange(4)), split, by_kind=True) == {}
