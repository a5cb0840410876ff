"""The table at the end of a run: what was measured last, beside what it is read against."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from jepa_lab.ledger.finished_run import last_values
from jepa_lab.report.panels import tap_names

SECTIONS = ("Loss", "Probes", "Prediction", "Retrieval", "Codebook", "Representation")
COLUMNS = ("training", "validation", "test", "reference")
Format = Callable[[float], str]


@dataclass(frozen=True)
class Row:
    """One line of the table; values are texts ready to print, "" where nothing was measured."""

    section: str
    metric: str
    training: str = ""
    validation: str = ""
    test: str = ""
    reference: str = ""


def final_table(source: Mapping[str, Any], sections: Sequence[str] = SECTIONS, **options: Any) -> str:
    """The table as aligned plain text; "" if nothing was measured. See `table_rows` for the arguments."""
    return plain_table(table_rows(source, sections, **options))


def print_table(rows: Sequence[Row], file: TextIO | None = None) -> None:
    """Print to `file` (standard output): with rich on a terminal, as plain text elsewhere."""
    file = file or sys.stdout
    if not rows:
        return
    if file.isatty():
        Console(file=file).print(rich_table(rows))
    else:
        print(plain_table(rows), file=file)


def table_rows(
    source: Mapping[str, Any],
    sections: Sequence[str] = SECTIONS,
    expected: Mapping[str, str] | None = None,
) -> list[Row]:
    """Rows of every metric that has a value. `source` is a history, the metrics of a summary, or a whole summary.json.

    `expected` maps a key (`val/...`) to a text for the last column, where ranks and scales have their value at start.
    ValueError on an unknown section.
    """
    unknown = set(sections).difference(SECTIONS)
    if unknown:
        raise ValueError(f"sections are {', '.join(SECTIONS)}; got {', '.join(sorted(unknown))}")
    last = last_values(source)
    lines = [line for section in sections for line in _lines(section, last)]
    rows = [_row(last, expected or {}, *line) for line in lines]
    return [row for row in rows if row.training or row.validation or row.test]


def plain_table(rows: Sequence[Row]) -> str:
    """Aligned text without colours, one section under the other."""
    columns = _columns(rows)
    body = [[row.metric, *(getattr(row, column) for column in columns)] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(["metric", *columns], *body, strict=True)]
    lines = [_aligned(["", *columns], widths)]
    for index, (row, cells) in enumerate(zip(rows, body, strict=True)):
        if index == 0 or row.section != rows[index - 1].section:
            lines.append(row.section)
        lines.append(_aligned(cells, widths))
    return "\n".join(lines) if rows else ""


def rich_table(rows: Sequence[Row]) -> Table:
    """The same table for a terminal."""
    columns = _columns(rows)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for column in columns:
        table.add_column(
            column, justify="left" if column == "reference" else "right", style="dim" * (column == "reference")
        )
    for index, row in enumerate(rows):
        if index == 0 or row.section != rows[index - 1].section:
            table.add_row(f"[bold]{row.section}[/bold]")
        table.add_row(f"  {row.metric}", *(getattr(row, column) for column in columns))
    return table


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def three_decimals(value: float) -> str:
    return f"{value:.3f}"


def four_digits(value: float) -> str:
    return f"{value:#.4g}".rstrip(".")


def one_decimal(value: float) -> str:
    return f"{value:.1f}"


# section, label, key without its split, format
Line = tuple[str, str, str, Format]

LOSS: list[Line] = [("Loss", name, f"loss/{name}", four_digits) for name in ("total", "prediction", "rate")]
PROBES: list[Line] = [
    ("Probes", "class from z_agg", "probe/class_from_z_agg", percent),
    ("Probes", "class from z", "probe/class_from_z", percent),
    ("Probes", "relative action from z, R²", "probe/relative_action_from_z", three_decimals),
    ("Probes", "action from z, R²", "probe/action_from_z", three_decimals),
    ("Probes", "action from z_agg, R² (wiring)", "probe/action_from_z_agg", three_decimals),
    ("Probes", "view from z_agg, R²", "probe/view_from_z_agg", three_decimals),
    ("Probes", "variance over views of z_agg / total", "z_agg/within_share", three_decimals),
]
PREDICTION: list[Line] = [
    ("Prediction", "skill", "skill", three_decimals),
    ("Prediction", "action gain", "action_gain", four_digits),
    ("Prediction", "demonstration gain", "demo_gain", four_digits),
    ("Prediction", "copy gain", "copy_gain", four_digits),
]
RETRIEVAL: list[Line] = [
    ("Retrieval", f"{of}, {metric}", f"retrieval/{key}{name}", show)
    for key, of in (("", "prediction"), ("no_predictor_", "without the predictor"), ("copy_", "a copy of the query"))
    for name, metric, show in (("top1", "top 1", percent), ("mrr", "mean reciprocal rank", three_decimals))
]
CODEBOOK: list[Line] = [
    ("Codebook", "codes in use", "codebook/usage", percent),
    ("Codebook", "perplexity", "codebook/perplexity", one_decimal),
    ("Codebook", "steps since use, mean", "codebook/dead_code_age", one_decimal),
    ("Codebook", "median length of a code", "codebook/norm_median", four_digits),
]


def _lines(section: str, last: Mapping[str, float]) -> list[Line]:
    if section == "Representation":
        return _tap_lines(last)
    known = {"Loss": LOSS, "Probes": PROBES, "Prediction": PREDICTION, "Retrieval": RETRIEVAL, "Codebook": CODEBOOK}
    return known[section]


def _tap_lines(last: Mapping[str, float]) -> list[Line]:
    measured = [key.replace("test/", "val/", 1) for key in last]
    shown = [("effective_rank", "effective rank"), ("rankme", "RankMe"), ("feature_std_l2", "scale (feature std, L2)")]
    taps = dict.fromkeys(tap for metric, _ in shown for tap in tap_names(measured, metric))
    return [
        (
            "Representation",
            f"{tap}  {label}",
            f"{tap}/{metric}",
            three_decimals if metric == "feature_std_l2" else one_decimal,
        )
        for tap in taps
        for metric, label in shown
    ]


def _row(
    last: Mapping[str, float], expected: Mapping[str, str], section: str, label: str, key: str, show: Format
) -> Row:
    training, validation, test = (_cell(last, f"{split}/{key}", show) for split in ("train", "val", "test"))
    start = _cell(last, f"reference/{key}", show, dimension=False)
    notes = [f"{start} at start" if start else "", expected.get(f"val/{key}", "")]
    return Row(section, label, training, validation, test, "; ".join(filter(None, notes)))


def _cell(last: Mapping[str, float], key: str, show: Format, dimension: bool = True) -> str:
    if key not in last:
        return ""
    value = last[key]
    text = show(value) if math.isfinite(value) else str(value).replace("nan", "NaN")
    tap = key.split("/")[1]
    d = last.get(f"val/{tap}/d") if dimension and show is one_decimal else None
    return text if d is None or not math.isfinite(d) else f"{text} of {d:.0f}"


def _columns(rows: Sequence[Row]) -> list[str]:
    return [column for column in COLUMNS if any(getattr(row, column) for row in rows)]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join(["  " + cells[0].ljust(widths[0]), *padded[1:]]).rstrip()
