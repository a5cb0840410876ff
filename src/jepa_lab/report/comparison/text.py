"""Prints a comparison: the table, plain or for a terminal, and the lines below it."""

import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from jepa_lab.config.statuses import failed, status_in
from jepa_lab.report.comparison.differences import SeedGroup, setting_text
from jepa_lab.report.table import Format, one_decimal, percent, three_decimals
from jepa_lab.report.text_table import aligned

# maps a key without its split to (header, format)
HEADLINE: dict[str, tuple[str, Format]] = {
    "probe/class_from_z_agg": ("class z_agg", percent),
    "probe/class_from_z": ("class z", percent),
    "probe/relative_action_from_z": ("rel. action R²", three_decimals),
    "probe/action_from_z": ("action R²", three_decimals),
    "skill": ("skill", three_decimals),
    "retrieval/top1": ("top 1", percent),
    "retrieval/mrr": ("MRR", three_decimals),
    "codebook/usage": ("codes", percent),
    "z/effective_rank": ("rank z", one_decimal),
    "z_agg/effective_rank": ("rank z_agg", one_decimal),
}
# shown only beside retrieval: ARC has no probes
WITH_RETRIEVAL = ("z/effective_rank", "z_agg/effective_rank")
REASON_WIDTH = 120
PAGE_WIDTH = 140  # of a table; a wider table moves settings that follow from others below it
RunRow = Mapping[str, Any]


def shown_columns(columns: Sequence[str], rows: Sequence[RunRow]) -> tuple[list[str], list[str]]:
    """Returns the columns to print, and lines on the other columns.

    All columns are printed if they fit. Otherwise a setting that follows from a column on its left
    (e.g. the optimiser from the recipe) is printed once below the table and not in every row.
    """
    if max(map(len, plain_table(columns, rows))) <= PAGE_WIDTH:
        return list(columns), []
    settings = [key for key in columns[: columns.index("run")] if key != "seed"]
    followers: dict[str, list[str]] = {}
    for index, key in enumerate(settings):
        options = [
            left for left in settings[:index] if all(isinstance(row[left], str) for row in rows)
        ]
        free = [left for left in options if not any(left in keys for keys in followers.values())]
        leader = next(
            (left for left in free if _count(rows, left) == _count(rows, left, key)), None
        )
        if leader is not None:
            followers.setdefault(leader, []).append(key)
    lines = {
        f"{_assigned([leader], row)}: {_assigned(keys, row)}": None
        for leader, keys in followers.items()
        for row in rows
    }
    hidden = {key for keys in followers.values() for key in keys}
    return [column for column in columns if column not in hidden], list(lines)


def plain_table(columns: Sequence[str], rows: Sequence[RunRow]) -> list[str]:
    """Returns aligned lines: two of headers (split and column), then one for each run."""
    if not rows:
        return ["no runs"]
    heads = [_header(column) for column in columns]
    cells = [[_cell(column, row) for column in columns] for row in rows]
    table = [[split for split, _ in heads], [name for _, name in heads], *cells]
    lines = aligned(table, [at for at, column in enumerate(columns) if _is_number(column, rows)])
    return lines if lines[0] else lines[1:]


def rich_table(columns: Sequence[str], rows: Sequence[RunRow], width: int) -> tuple[Table, int]:
    """Returns the table with colours for a terminal, and the width that it needs.

    Headers and verdicts may be wrapped, values never."""
    folded = max(map(len, plain_table(columns, rows))) > width
    heads = [_lines_of(*_header(column), folded) for column in columns]
    tall = max(map(len, heads))
    table, needed = Table(box=None, pad_edge=False, header_style="dim"), 0
    for column, head in zip(columns, heads, strict=True):
        cells = [_cell(column, row) for row in rows]
        last = column == "verdict"
        needed += 2 + max(map(len, [*head, *(" ".join(cells).split() if last else cells)]))
        header = Text("\n".join([""] * (tall - len(head)) + head))
        right = _is_number(column, rows)
        table.add_column(
            header, justify="right" if right else "left", no_wrap=not last, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(_cell(column, row), style=_style(column, row)) for column in columns))
    return table, needed


def below(
    columns: Sequence[str],
    rows: Iterable[RunRow],
    seeds: Sequence[SeedGroup],
    skipped: Iterable[tuple[str, str]],
) -> list[str]:
    """Returns blocks of lines, each after an empty line: means over seeds, reasons why runs did not
    complete, and folders that are no run.

    A group of seeds is named by those of its settings that are in `columns`.
    """
    blocks = [
        _seed_lines(seeds, columns),
        [note for row in rows if (note := _note(row))],
        [f"not a run: {path} ({why})" for path, why in skipped],
    ]
    return [line for block in blocks if block for line in ("", *block)]


def _header(column: str) -> tuple[str, str]:
    """Returns split and name of a column; the split of a setting is ""."""
    split, _, key = column.partition("/")
    return (split, HEADLINE[key][0]) if key in HEADLINE else ("", column)


def _lines_of(split: str, name: str, folded: bool) -> list[str]:
    parts = re.split(r"(?<=\.)\s*|\s+", name) if folded else [name]
    return [split, *parts] if split else parts


def _cell(column: str, row: RunRow) -> str:
    value = row[column]
    key = column.partition("/")[2]
    if key in HEADLINE:
        return "" if value is None else _metric(value, HEADLINE[key][1])
    return value or "" if column in ("run", "state", "verdict") else setting_text(value)


def _metric(value: float, show: Format) -> str:
    return show(value) if math.isfinite(value) else str(value).replace("nan", "NaN")


def _is_number(column: str, rows: Iterable[RunRow]) -> bool:
    return (
        all(row[column] is None or isinstance(row[column], int | float) for row in rows)
        and column != "verdict"
    )


def _style(column: str, row: RunRow) -> str:
    if column == "verdict" and row["verdict"]:
        status = status_in(row["verdict"])
        return "green" if status == "healthy" else "red" if failed(status) else "yellow"
    return {"failed": "red", "stopped": "yellow"}.get(row["state"], "") if column == "state" else ""


def _note(row: RunRow) -> str:
    """Returns the reason why a run ended, "" without one. Long reasons are cut; the files of the
    run have them in full."""
    reason = textwrap.shorten(str(row["reason"] or ""), REASON_WIDTH, placeholder=" ...")
    bad = row["first_bad"] if isinstance(row["first_bad"], Mapping) else {}
    known = not bad or (str(bad.get("term")) in reason and f"step {bad.get('step')}" in reason)
    first = "" if known else f"first not finite: {bad.get('term')} at step {bad.get('step')}"
    why = "; ".join(filter(None, [reason, first]))
    return f"{row['run']} {row['state']}: {why}" if why else ""


def _seed_lines(seeds: Sequence[SeedGroup], columns: Sequence[str]) -> list[str]:
    if not seeds:
        return []
    split, name = _header(seeds[0].metric)
    names = [
        _assigned([key for key in group.settings if key in columns], group.settings)
        for group in seeds
    ]
    means = [_mean(group) for group in seeds]
    lines = aligned(list(zip(names, means, map(_counts, seeds), strict=True)), right=[1])
    return [
        f"{name} on {split}, mean ± standard deviation over seeds:",
        *(f"  {line}" for line in lines),
    ]


def _assigned(keys: Iterable[str], values: Mapping[str, Any]) -> str:
    return " ".join(
        setting_text(values[key]) if key == "experiment" else f"{key}={setting_text(values[key])}"
        for key in keys
    )


def _count(rows: Iterable[RunRow], *keys: str) -> int:
    return len({tuple(setting_text(row[key]) for key in keys) for row in rows})


def _mean(group: SeedGroup) -> str:
    if group.mean is None:
        return ""
    show = HEADLINE[group.metric.partition("/")[2]][1]
    mean = _metric(group.mean, show)
    if group.sd is None:
        return mean
    unit = " %" if mean.endswith(" %") else ""
    return f"{mean.removesuffix(unit)} ± {_metric(group.sd, show).removesuffix(unit)}{unit}"


def _counts(group: SeedGroup) -> str:
    collapsed = f"{group.collapsed} of {group.completed} collapsed" if group.collapsed else ""
    others = (f"{count} {state}" for state, count in group.others.items())
    return ", ".join(filter(None, [f"n {group.n}", collapsed, *others]))
