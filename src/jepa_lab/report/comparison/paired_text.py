"""Prints paired rows: a block for each metric, then runs that are left out and limits of p."""

import math
import textwrap
from collections.abc import Mapping, Sequence

from jepa_lab.report.comparison.arms import PairedRow
from jepa_lab.report.comparison.statistics import PairedDifference
from jepa_lab.report.comparison.text import HEADLINE
from jepa_lab.report.table import percent
from jepa_lab.report.text_table import aligned

WIDTH = 150
CONTROL = " (control)"
HEADS = [
    "arm",
    "n",
    "mean",
    "pairs",
    "difference",
    "p",
    "p Holm",
    "detectable",
    "non-inferiority",
    "collapsed",
]
LEFT = ("arm", "non-inferiority")


def paired_text(rows: Sequence[PairedRow]) -> str:
    """Returns an aligned table of at most WIDTH columns, with accuracies in percent points.

    If the names of arms are too long, they are listed first and the table has their numbers."""
    if not rows:
        return "no arms"
    names = {row.arm: row.arm + CONTROL * row.is_control for row in rows}
    table, legend = _table(rows, names), []
    if max(map(len, table)) > WIDTH:
        legend = [_wrapped(f"arm {i}: {name}") for i, name in enumerate(names.values())]
        names = {arm: f"arm {i}" for i, arm in enumerate(names)}
        table = _table(rows, names)
    blocks = [
        [_about(rows)],
        legend,
        table,
        _noise(rows, names),
        _floors(rows),
        _left_out(rows, names),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _about(rows: Sequence[PairedRow]) -> str:
    return _wrapped(
        "arms against the control, paired by seed: mean ± half of its t interval, mean difference"
        f" and its t interval ({100 * rows[0].confidence:g} %), p of the two-sided sign-flip test,"
        " that p adjusted by Holm over the arms of a metric, the true difference that a paired t"
        " test would detect with power 0.8, non-inferiority by the margin (one-sided, 5 %)"
    )


def _table(rows: Sequence[PairedRow], names: Mapping[str, str]) -> list[str]:
    cells = [HEADS, *(_cells(row, names[row.arm]) for row in rows)]
    lines = aligned(cells, [at for at, head in enumerate(HEADS) if head not in LEFT])
    out: list[str] = []
    for i, row in enumerate(rows):
        if i == 0 or row.metric != rows[i - 1].metric:
            out += [*([""] if i else []), _heading(row), lines[0]]
        out.append(lines[i + 1])
    return out


def _heading(row: PairedRow) -> str:
    split, _, key = row.metric.partition("/")
    name = f"{HEADLINE[key][0]} on {split}" if key in HEADLINE else row.metric
    unit = ", percent points" if is_accuracy(row.metric) else ""
    margin = "" if row.margin is None else f", margin {number_text(row.margin, row.metric)}"
    return name + unit + margin


def _cells(row: PairedRow, name: str) -> list[str]:
    mean = "" if row.mean.mean is None else number_text(row.mean.mean, row.metric)
    if row.mean.half_width is not None:
        mean += f" ± {number_text(row.mean.half_width, row.metric)}"
    collapsed = f"{row.collapsed} of {row.completed}"
    start, d = [name, str(row.mean.n), mean], row.difference
    if d is None:
        return [*start, "" if row.is_control else "<2", *[""] * 5, collapsed]
    low, high, middle, detectable = (
        number_text(x, row.metric) for x in (d.low, d.high, d.mean, d.detectable)
    )
    p_holm = "" if row.p_holm is None else _p(row.p_holm)
    difference = f"{middle} [{low}, {high}]"
    return [
        *start,
        str(d.n),
        difference,
        _p(d.p),
        p_holm,
        detectable,
        row.non_inferiority or "",
        collapsed,
    ]


def is_accuracy(metric: str) -> bool:
    """Returns whether the metric is shown in percent."""
    key = metric.partition("/")[2]
    return key in HEADLINE and HEADLINE[key][1] is percent


def number_text(value: float, metric: str) -> str:
    """Returns a value of the metric as text: accuracies in percent points, others with three
    decimals."""
    if not math.isfinite(value):
        return str(value)
    text = f"{100 * value:.1f}" if is_accuracy(metric) else f"{value:.3f}"
    return text.removeprefix("-") if not float(text) else text  # no -0.0


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _floors(rows: Sequence[PairedRow]) -> list[str]:
    """Returns lines on the smallest p that the number of seeds allows, before and after Holm."""
    found: dict[str, list[PairedDifference]] = {}
    for row in rows:
        if row.difference is not None:
            found.setdefault(row.metric, []).append(row.difference)
    floors = {d.n: d.p_floor for differences in found.values() for d in differences}
    lines = [f"with {n} pairs p is never below {floor:.3g}" for n, floor in sorted(floors.items())]
    best = [
        min(1.0, len(differences) * min(d.p_floor for d in differences))
        for differences in found.values()
    ]
    return [*lines, f"after Holm the smallest p is never below {min(best):.3g}"] if best else []


def _noise(rows: Sequence[PairedRow], names: Mapping[str, str]) -> list[str]:
    """Returns lines that split the spread of an accuracy into seeds and the sample of images."""
    lines: list[str] = []
    for metric in dict.fromkeys(row.metric for row in rows if row.noise):
        parts = [
            f"{names[row.arm].removesuffix(CONTROL)}"
            f" {', '.join(number_text(x, metric) for x in row.noise)}"
            for row in rows
            if row.metric == metric and row.noise
        ]
        heading = _heading(next(row for row in rows if row.metric == metric)).split(",")[0]
        lines.append(
            _wrapped(
                f"{heading}, three sds: over seeds, of one sample of test images, of the seeds"
                f" alone: {'; '.join(parts)}"
            )
        )
    return lines


def _left_out(rows: Sequence[PairedRow], names: Mapping[str, str]) -> list[str]:
    """Returns lines on runs and seeds that are in no mean or in no difference."""
    lines: dict[str, None] = {}
    for row in rows:
        if row.others:
            states = ", ".join(f"{count} {state}" for state, count in row.others.items())
            lines[_wrapped(f"{names[row.arm]}, left out: {states}")] = None
    for row in rows:
        d = row.difference
        parts = [
            f"seeds not finite: {row.mean.left_out}" * bool(row.mean.left_out),
            f"pairs not finite: {d.left_out}" * bool(d.left_out) if d else "",
            f"seeds without a partner: {d.unpaired}" * bool(d.unpaired) if d else "",
        ]
        if any(parts):
            lines[
                _wrapped(
                    f"{names[row.arm]}, {_heading(row).split(',')[0]}, left out:"
                    f" {'; '.join(filter(None, parts))}"
                )
            ] = None
    return list(lines)


def _wrapped(line: str) -> str:
    return "\n".join(textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False))
