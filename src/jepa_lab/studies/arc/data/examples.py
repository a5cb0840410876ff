"""Prediction problems made from tasks: the context grids and the target grid of each example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jepa_lab.data.draws import uniform
from jepa_lab.studies.arc.data.batch import DEMO_INPUT, DEMO_OUTPUT, FRAME, QUERY
from jepa_lab.studies.arc.data.task import ArcTask, Grid, Pair

PROBLEMS = ("demos", "frames", "copies")
ABSENT = -1  # a grid number: no grid in this place


@dataclass(frozen=True)
class Examples:
    """E examples over the n grids of a split.

    grids: the n grids. owner: (n,) the task number of each grid. roles, pairs: (G,) of the context
    places, see ArcBatch. context: (E, G) grid numbers, ABSENT where there is no grid. target, task:
    (E,). candidates: (E, M) the inputs of all demonstrations that an example may use, in the order
    of its task, padded with ABSENT; None for problems without demonstrations. The output of a
    demonstration has the grid number after its input. note: a message about omitted data, or empty.
    """

    grids: tuple[Grid, ...]
    owner: Tensor
    roles: Tensor
    pairs: Tensor
    context: Tensor
    target: Tensor
    task: Tensor
    candidates: Tensor | None = None
    note: str = ""

    def __len__(self) -> int:
        return len(self.target)

    def drawn_context(self, index: Tensor, *, seed: int, split: str, epoch: int) -> Tensor:
        """Returns the context (B, G) of the examples `index` (B,) in a training epoch.

        If a task has more demonstrations than places, the choice depends on (seed, split, epoch,
        example). The chosen demonstrations keep their order.
        """
        context = self.context[index]
        n_demos = (context.shape[1] - 1) // 2
        if self.candidates is None or self.candidates.shape[1] <= n_demos:
            return context
        candidates = self.candidates[index]
        keys = uniform(
            index, candidates.shape[1], seed=seed, split=split, epoch=epoch, stream="demos"
        )
        keys = keys.masked_fill(candidates == ABSENT, 2.0)  # above every random number
        chosen = keys.argsort(dim=1, stable=True)[:, :n_demos].sort(1).values
        return _with_demos(candidates.gather(1, chosen), context[:, -1])


def make_examples(
    tasks: Sequence[ArcTask],
    problem: str = "demos",
    *,
    n_demos: int = 3,
    n_frames: int = 3,
    split: str = "train",
) -> Examples:
    """Builds the examples of all tasks, in the order of the tasks.

    demos: every pair with an output is the query of one example. Its context is up to `n_demos`
    other demonstrations (the first ones; see drawn_context) and, in the last place, the query's
    input; missing demonstrations leave the places before the query absent. The target is the
    query's output. Queries without another demonstration are omitted because nothing determines
    their rule.

    frames: windows of `n_frames` states, the target is the next state. copies: `n_frames` copies of
    a pair's input, the target is its output, as published.

    Raises ValueError for an unknown problem, an invalid number, or a split without an example.
    """
    if problem not in PROBLEMS:
        raise ValueError(f"problem: {problem!r} is none of {', '.join(PROBLEMS)}")
    for key, value in (("n_demos", n_demos), ("n_frames", n_frames)):
        if not (isinstance(value, int) and value >= 1):
            raise ValueError(f"{key}: {value!r} is not a whole number from 1")
    if problem == "demos":
        return _demos(tasks, n_demos, split)
    return (
        _frames(tasks, n_frames, split) if problem == "frames" else _copies(tasks, n_frames, split)
    )


def _demos(tasks: Sequence[ArcTask], n_demos: int, split: str) -> Examples:
    grids, owner = _pair_grids(tasks)
    queries: list[int] = []
    numbers: list[int] = []
    others: list[list[int]] = []
    start = alone = 0
    for number, task in enumerate(tasks):
        inputs = [start + 2 * i for i in range(len(_pairs(task)))]
        demonstrations = inputs[: sum(_has_output(pair) for pair in task.train)]
        start += 2 * len(inputs)
        for query_input in inputs:
            rest = [
                demonstration for demonstration in demonstrations if demonstration != query_input
            ]
            if rest:
                queries.append(query_input)
                numbers.append(number)
                others.append(rest)
            else:
                alone += 1
    if not queries:
        raise ValueError(
            f"problem demos: none of the {len(tasks)} {split} tasks has a pair with an output and"
            " another demonstration"
        )
    widest = max(n_demos, *map(len, others))
    candidates = torch.tensor([rest + [ABSENT] * (widest - len(rest)) for rest in others])
    query = torch.tensor(queries)
    return Examples(
        grids,
        owner,
        roles=torch.tensor([DEMO_INPUT, DEMO_OUTPUT] * n_demos + [QUERY]),
        pairs=torch.tensor([i // 2 for i in range(2 * n_demos + 1)]),
        context=_with_demos(candidates[:, :n_demos], query),
        target=query + 1,
        task=torch.tensor(numbers),
        candidates=candidates,
        note=(
            f"{alone} {split} pairs have no other demonstration and are omitted" if alone else ""
        ),
    )


def _with_demos(inputs: Tensor, query: Tensor) -> Tensor:
    """Returns (B, 2 n + 1): the inputs (B, n) with their outputs, then the query (B,)."""
    outputs = torch.where(inputs == ABSENT, ABSENT, inputs + 1)
    return torch.cat([torch.stack([inputs, outputs], dim=2).flatten(1), query[:, None]], dim=1)


def _frames(tasks: Sequence[ArcTask], n_frames: int, split: str) -> Examples:
    grids: list[Grid] = []
    owner: list[int] = []
    windows: list[list[int]] = []
    numbers: list[int] = []
    sequences = short = 0
    for number, task in enumerate(tasks):
        for sequence in task.frames:
            count = len(sequence) - n_frames
            windows += [
                list(range(len(grids) + i, len(grids) + i + n_frames + 1)) for i in range(count)
            ]
            numbers += [number] * count
            grids += sequence
            owner += [number] * len(sequence)
            sequences += 1
            short += count < 1
    if not windows:
        raise ValueError(
            f"problem frames: none of the {sequences} frame sequences of the {len(tasks)} {split}"
            f" tasks has {n_frames + 1} states (n_frames={n_frames} and the next one)"
        )
    table = torch.tensor(windows)
    note = (
        f"{short} of {sequences} {split} frame sequences have fewer than {n_frames + 1} states and"
        " are omitted"
    )
    return Examples(
        tuple(grids),
        torch.tensor(owner),
        *_frame_places(n_frames),
        context=table[:, :-1],
        target=table[:, -1],
        task=torch.tensor(numbers),
        note=note if short else "",
    )


def _copies(tasks: Sequence[ArcTask], n_frames: int, split: str) -> Examples:
    grids, owner = _pair_grids(tasks)
    if not grids:
        raise ValueError(
            f"problem copies: none of the {len(tasks)} {split} tasks has a pair with an output"
        )
    inputs = torch.arange(0, len(grids), 2)
    return Examples(
        grids,
        owner,
        *_frame_places(n_frames),
        context=inputs[:, None].repeat(1, n_frames),
        target=inputs + 1,
        task=owner[inputs],
    )


def _frame_places(n_frames: int) -> tuple[Tensor, Tensor]:
    return torch.full((n_frames,), FRAME), torch.arange(n_frames)


def _pairs(task: ArcTask) -> list[Pair]:
    """Returns the pairs with an output, demonstrations first."""
    return [pair for pair in (*task.train, *task.test) if _has_output(pair)]


def _has_output(pair: Pair) -> bool:
    # competition sets withhold the test outputs
    return pair.output is not None and pair.output.size > 0


def _pair_grids(tasks: Sequence[ArcTask]) -> tuple[tuple[Grid, ...], Tensor]:
    """Returns inputs and outputs of all pairs with an output, and the task number of each grid."""
    grids = [
        (number, grid)
        for number, t in enumerate(tasks)
        for p in _pairs(t)
        for grid in (p.input, p.output)
    ]
    return tuple(grid for _, grid in grids), torch.tensor(
        [number for number, _ in grids], dtype=torch.int64
    )
