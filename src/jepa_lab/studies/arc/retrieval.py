"""Results beside which the retrieval of the network stands: plain baselines, and kinds of rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jepa_lab.metrics.retrieval import candidates, rank_values, ranks
from jepa_lab.studies.arc.data.examples import Examples
from jepa_lab.studies.arc.data.task import ArcTask
from jepa_lab.studies.arc.plain_baselines import plain_ranks

SAME_SIZE, OTHER_SIZE = "same_size", "other_size"


@dataclass(frozen=True)
class RankedSplit:
    """The examples of a split and its tasks."""

    examples: Examples
    tasks: Sequence[ArcTask]


def plain_values(places: Mapping[str, Tensor]) -> dict[str, float]:
    """Returns `retrieval/plain/<baseline>/{top1,mrr}` for the ranks (n,) of each baseline."""
    return {
        f"retrieval/plain/{name}/{metric}": float(value)
        for name, rank in places.items()
        for metric, value in rank_values(rank).items()
    }


def compared_values(
    rows: Mapping[str, Tensor], split: RankedSplit, by_kind: bool
) -> dict[str, float]:
    """Returns the plain baselines of the rows and, if `by_kind`, top1 by kind of rule.

    `rows` holds task and index (n,), numbers in the split, and z_hat, z_target and copied (n, p).
    The candidates are those of the network's retrieval. By kind, the prediction and the copy of the
    query's input are beside the plain baseline with the highest top1 over all rows. Returns {} if
    all rows are of one task.
    """
    if len(torch.unique(rows["task"])) < 2:
        return {}
    among = candidates(rows["task"])
    plain = plain_ranks(split.examples, rows["index"], among)
    values = plain_values(plain)
    if by_kind:
        best = max(plain, key=lambda name: values[f"retrieval/plain/{name}/top1"])
        places = {
            "": ranks(rows["z_hat"], rows["z_target"], among),
            "copy_": ranks(rows["copied"], rows["z_target"], among),
            "plain_": plain[best],
        }
        values |= values_by_kind(places, kinds_of(split, rows["index"]))
    return values


def values_by_kind(places: Mapping[str, Tensor], kinds: Sequence[str]) -> dict[str, float]:
    """Returns `retrieval/rule/<kind>/<prefix>top1` for the ranks (n,) of each prefix, and the
    number of rows `retrieval/rule/<kind>/n`, for the kinds (n) of the rows."""
    values: dict[str, float] = {}
    for kind in sorted(set(kinds)):
        here = torch.tensor([one == kind for one in kinds])
        for prefix, rank in places.items():
            values[f"retrieval/rule/{kind}/{prefix}top1"] = float(rank_values(rank[here])["top1"])
        values[f"retrieval/rule/{kind}/n"] = float(here.sum())
    return values


def kinds_of(split: RankedSplit, index: Tensor) -> list[str]:
    """Returns the kind of each example: that of its task's rule if the split knows its rules,
    otherwise whether the output has the size of the query's input."""
    examples = split.examples
    if all(task.kind for task in split.tasks):
        return [split.tasks[number].kind for number in examples.task[index].tolist()]
    kinds = []
    for query, target in zip(
        examples.context[index, -1].tolist(), examples.target[index].tolist(), strict=True
    ):
        same = examples.grids[query].shape == examples.grids[target].shape
        kinds.append(SAME_SIZE if same else OTHER_SIZE)
    return kinds
