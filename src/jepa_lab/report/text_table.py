"""Tables of text: coloured on a terminal, aligned plain text elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Container, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

Cells = Sequence[str]


def aligned(rows: Sequence[Cells], right: Container[int] = ()) -> list[str]:
    """Returns the rows as lines with aligned columns, two spaces apart.

    `right` holds the indices of the right-aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def terminal_table(
    heads: Cells, rows: Sequence[Cells], right: Container[int] = (), styles: Sequence[Cells] = ()
) -> Table:
    """Returns a rich table for a terminal. `styles` holds a rich style for each cell."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for at, head in enumerate(heads):
        table.add_column(head, justify="right" if at in right else "left")
    for row, style in zip(rows, styles or [[""] * len(heads)] * len(rows), strict=True):
        table.add_row(*map(Text, row, style))
    return table


def print_table(
    heads: Cells,
    rows: Sequence[Cells],
    right: Container[int] = (),
    styles: Sequence[Cells] = (),
    file: TextIO | None = None,
) -> None:
    """Prints the table to `file`; None prints to standard output. Only a terminal gets colours."""
    file = file or sys.stdout
    if file.isatty():
        Console(file=file).print(terminal_table(heads, rows, right, styles))
    else:
        print("\n".join(aligned([heads, *rows], right)), file=file, flush=True)
