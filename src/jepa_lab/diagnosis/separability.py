"""The evidence of labels: whether the features tell the classes apart, compared with what chance
leaves. It can contradict a collapse, and it can turn a low rank into one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from jepa_lab.config.statuses import COLLAPSES
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.thresholds import Thresholds, distance
from jepa_lab.metrics.neighbours import (
    Agreement,
    adjacent_share,
    agreement,
    linked_share,
    nearest,
    nearest_by_distance,
)

Search = Callable[[int], Tensor]  # from a lag to the nearest rows that are further away

NEIGHBOURS = 2000  # rows for the nearest neighbours, since all pairs are compared
PROCESSES = (*range(2, 17), 32, 64)


def separability(
    readouts: list[Tensor], images: Tensor, labels: Tensor, t: Thresholds
) -> tuple[Agreement | None, list[str]]:
    """Returns how well the nearest neighbour agrees in its label, and notes.

    `readouts` are features (m, d) of the images with the indices `images` (m,), for example the
    first view and the mean over views. The neighbour is that by cosine or by distance. The best of
    them counts. `labels` (n,) are those of all images, -1 for unknown. At most 2,000 rows are read,
    evenly spaced. If the neighbour of most is the next row, rows that close are passed over. The
    agreement is None with fewer than 32 labelled rows, with fewer than two classes, or if no two
    rows share a label.
    """
    known = (labels[images] >= 0).nonzero().flatten()
    if len(known) < t.samples:
        return None, []
    some = known[
        torch.linspace(0, len(known) - 1, min(len(known), NEIGHBOURS), dtype=torch.float32).long()
    ]
    searches: list[Search] = [
        partial(near, z[some]) for z in readouts for near in (nearest, nearest_by_distance)
    ]
    at = images[some]
    neighbours = [search(0) for search in searches]
    found = _best(labels[at], neighbours)
    if found is None:
        return None, []
    linked = [linked_share(labels[at], neighbour) for neighbour in neighbours]
    if max(linked) >= t.linked:
        worst = linked.index(max(linked))
        rows = "rows" if len(readouts) == 1 else "images"
        rows = f"{rows} read" if len(some) < len(known) else rows
        return _without_adjacent(labels[at], searches, adjacent_share(neighbours[worst]), rows, t)
    notes = []
    if found.above_chance < t.told_apart and int(labels.min()) >= 0:
        notes = _in_another_order(labels, at, neighbours, max(t.told_apart, 2 * found.above_chance))
    return found, notes


def evidence(found: Agreement | None) -> dict[str, float]:
    """Returns neighbour_accuracy, chance, and separability = (accuracy - chance) / (1 - chance)."""
    if found is None:
        return {}
    return {
        "neighbour_accuracy": found.accuracy,
        "chance": found.chance,
        "separability": found.above_chance,
    }


def hear(
    found: Finding, apart: Agreement | None, about_mean: Finding, t: Thresholds
) -> tuple[Finding, list[str]]:
    """Returns the finding with the evidence of the labels, and notes.

    Labels that are told apart contradict a collapse: the status is then that of the rows about
    their common mean, `about_mean`, and no worse than a low rank. Labels that are not told apart
    turn a low rank into a collapse. In other cases they are a note.
    """
    if apart is None:
        return found, []
    times = apart.accuracy / apart.chance
    little = apart.above_chance < t.separability
    text = (
        f"nearest-neighbour accuracy {_digits(apart.accuracy)}, chance {_digits(apart.chance)}"
        f" ({100 * apart.above_chance:.0f} % of what chance leaves)"
    )
    if little and times >= t.chance_times:
        text = f"{text}, {times:.0f} times chance"
    if apart.lag:
        text = f"among rows further apart, {text}"
    if apart.above_chance < 2 * apart.error or (little and times < t.chance_times):
        text = f"{text}: the features do not separate the labels"
        if found.status != "low_rank":
            return found, [text]
        reason = f"{found.reason}; {text}"
        far = found.confidence
        return Finding("dimensional_collapse", reason, far, quantity=found.quantity), []
    if found.status in COLLAPSES and apart.above_chance >= t.told_apart:
        status = "healthy" if about_mean.status == "healthy" else "low_rank"
        reason = f"{found.reason}; yet the labels are told apart, so this is no collapse: {text}"
        far = t.confidence(distance(apart.above_chance, t.told_apart))
        return Finding(status, reason, far, quantity="separability"), []
    if apart.lost:
        text += f"; {apart.lost} of {apart.classes} classes are at chance"
    return found, [text]


def _digits(share: float) -> str:
    """Returns a share with two decimals, or two digits of a small one."""
    return f"{share:.2f}" if share >= 0.095 or share == 0 else f"{share:.2g}"


def _without_adjacent(
    labels: Tensor, searches: list[Search], share: float, rows: str, t: Thresholds
) -> tuple[Agreement | None, list[str]]:
    """Returns the agreement with rows far enough away not to belong to the same film, and a note.
    The agreement is None if a film is longer than a quarter of the rows, or if no such rows share a
    label."""
    note = (
        f"the nearest neighbour of {100 * share:.0f} % of the {rows} is an adjacent one, before or"
        " after it: frames of one film, or copies; such neighbours say little about labels"
    )
    lag = 1
    while lag <= len(labels) // 4:
        neighbours = [search(lag) for search in searches]
        if max(linked_share(labels, each, lag) for each in neighbours) < t.linked_left:
            found = _best(labels, neighbours, lag)
            if found is None:
                return None, [f"{note}, and no row further away shares a label"]
            return found, [f"{note}, and those up to {lag} {rows} away are left out"]
        lag *= 2
    return None, [f"{note}, and no row is far enough away"]


def _best(labels: Tensor, neighbours: list[Tensor], lag: int = 0) -> Agreement | None:
    each = [agreement(labels, neighbour, lag) for neighbour in neighbours]
    return max((a for a in each if a), key=lambda a: a.above_chance, default=None)


def _in_another_order(
    labels: Tensor, at: Tensor, neighbours: list[Tensor], enough: float
) -> list[str]:
    """Returns a note if the labels fit once they are taken as gathered from several processes."""
    for k in PROCESSES:
        if len(labels) % k:
            continue
        orders = (labels.reshape(k, -1).T.flatten(), labels.reshape(-1, k).T.flatten())
        each = [a for order in orders if (a := _best(order[at], neighbours)) is not None]
        best = max(each, key=lambda a: a.above_chance, default=None)
        if best is not None and best.above_chance >= enough:
            return [
                "the labels are in another order than the rows: taken as gathered from"
                f" {k} processes, the accuracy is {best.accuracy:.2f}"
            ]
    return []
