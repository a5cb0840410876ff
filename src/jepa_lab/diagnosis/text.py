"""The failures and quantities of a diagnosis as lines."""

from __future__ import annotations

from collections.abc import Sequence

from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.quantities import Quantity, order_sentence


def described(event: Finding) -> str:
    """Returns the status, the place and the reason of a failure."""
    return f"{event.status}{f' of {event.tap}' if event.tap else ''}: {event.reason}"


def event_lines(events: list[Finding]) -> list[str]:
    """Returns the failures in the order of their first violation, with a title, [] for none."""
    if not events:
        return []
    lines = [f"  step {f.began:>7}  {described(f)}" for f in events]
    order = order_sentence(events)
    return ["", "first violations", *lines, *([f"  {order}"] if order else [])]


def quantity_lines(rows: Sequence[Quantity]) -> list[str]:
    """Returns a table of quantities with their healthy ranges, with a title, [] for none."""
    if not rows:
        return []
    names = max(len(row.name) for row in rows)
    lines = ["", "quantities"]
    for row in rows:
        mark = {True: " ", False: "!", None: " "}[row.inside]
        start = "" if row.start is None else f"(start {row.start:.3g})"
        lines.append(
            f"{mark} {row.name:<{names}}  {row.value:>9.3g}  {start:<15} {row.range}".rstrip()
        )
    return lines
