"""The table at the end of a run: the last values beside reference values."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from jepa_lab.report.intervals import wilson
from jepa_lab.report.tap_panels import tap_names
from jepa_lab.report.text_table import aligned, print_table

SECTIONS = ("Loss", "Probes", "Prediction", "Retrieval", "Codebook", "Representation")
COLUMNS = ("training", "validation", "test", "reference")
Format = Callable[[float], str]


@dataclass(frozen=True)
class TableRow:
    """One line of the table. Values are texts ready to print, "" if nothing was measured.
    `intervals` maps the name of a column to the interval of its value."""

    section: str
    metric: str
    training: str = ""
    validation: str = ""
    test: str = ""
    reference: str = ""
    intervals: Mapping[str, str] = field(default_factory=dict)


def show_rows(rows: Sequence[TableRow], file: TextIO | None = None) -> None:
    """Prints the table to `file`; None prints to standard output."""
    if rows:
        heads, cells, right = _cells(rows)
        styles = [["bold" if not any(line[1:]) else "", *[""] * (len(heads) - 1)] for line in cells]
        print_table(heads, cells, right, styles, file)


def plain_table(rows: Sequence[TableRow]) -> str:
    """Returns the table as text with one section below the other, "" without rows."""
    if not rows:
        return ""
    heads, cells, right = _cells(rows)
    return "\n".join(aligned([heads, *cells], right))


def _cells(rows: Sequence[TableRow]) -> tuple[list[str], list[list[str]], range]:
    """Returns (column heads, lines of cells, right-aligned columns). Each section has a title
    line."""
    columns = [column for column in COLUMNS if any(getattr(row, column) for row in rows)]
    lines: list[list[str]] = []
    for before, row in zip([None, *rows], rows, strict=False):
        if before is None or before.section != row.section:
            lines.append([row.section, *[""] * len(columns)])
        lines.append([f"  {row.metric}", *(getattr(row, column) for column in columns)])
    return ["", *columns], lines, range(1, len(columns) + 1)


def table_rows(
    last: Mapping[str, float],
    sections: Sequence[str] = SECTIONS,
    expected: Mapping[str, str] | None = None,
    images: Mapping[str, int] | None = None,
) -> list[TableRow]:
    """Returns the rows of all metrics that have a value. `last` maps a key to its last value.

    `expected` maps a key (`val/...`) to a text for the last column, which also shows the value at
    initialisation of ranks and scales. `images` maps val and test to the number of images behind
    the accuracy of a class probe, which then gets an interval. Raises ValueError for an unknown
    section.
    """
    unknown = set(sections).difference(SECTIONS)
    if unknown:
        raise ValueError(f"sections are {', '.join(SECTIONS)}; got {', '.join(sorted(unknown))}")
    rows: list[TableRow] = []
    for section in sections:
        if section == "Probes":
            rows += _class_references(last)
        found = [_row(last, expected or {}, images or {}, *line) for line in _lines(section, last)]
        rows += [row for row in found if row.training or row.validation or row.test]
        if section == "Retrieval":
            rows += _kind_rows(last)
    return rows


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _percent_only(value: float) -> str:
    return f"{100 * value:.1f}"


def three_decimals(value: float) -> str:
    return f"{value:.3f}"


def four_digits(value: float) -> str:
    return f"{value:#.4g}".rstrip(".")


def one_decimal(value: float) -> str:
    return f"{value:.1f}"


CLASS_PROBES = "probe/class_from_"
OF_THE_DATA = "retrieval/plain/"  # does not depend on the weights: measured once, before training

# section, label, key without its split, format
MetricLine = tuple[str, str, str, Format]

LOSS: list[MetricLine] = [
    ("Loss", name, f"loss/{name}", four_digits) for name in ("total", "prediction", "rate")
]
PROBES: list[MetricLine] = [
    ("Probes", "class from z_agg", "probe/class_from_z_agg", percent),
    ("Probes", "class from z", "probe/class_from_z", percent),
    ("Probes", "relative action from z, R²", "probe/relative_action_from_z", three_decimals),
    ("Probes", "action from z, R²", "probe/action_from_z", three_decimals),
    ("Probes", "action from z_agg, R² (wiring)", "probe/action_from_z_agg", three_decimals),
    ("Probes", "view from z_agg, R²", "probe/view_from_z_agg", three_decimals),
    ("Probes", "variance over views of z_agg / total", "z_agg/within_share", three_decimals),
]
PREDICTION: list[MetricLine] = [
    ("Prediction", "skill", "skill", three_decimals),
    ("Prediction", "action gain", "action_gain", four_digits),
    ("Prediction", "action gain that the features allow", "readout/action_gain", four_digits),
    ("Prediction", "use of the actions, achieved / possible", "action_use", three_decimals),
    ("Prediction", "loss less that of a readout", "prediction_gap", four_digits),
    ("Prediction", "demonstration gain", "demo_gain", four_digits),
    ("Prediction", "copy gain", "copy_gain", four_digits),
]
RETRIEVAL: list[MetricLine] = [
    ("Retrieval", f"{of}, {metric}", f"retrieval/{key}{name}", show)
    for key, of in (
        ("", "prediction"),
        ("no_predictor_", "without the predictor"),
        ("copy_", "a copy of the query"),
    )
    for name, metric, show in (
        ("top1", "top 1", percent),
        ("mrr", "mean reciprocal rank", three_decimals),
    )
]
PLAIN: list[MetricLine] = [
    *(
        ("Retrieval", f"no network, {of}, top 1", f"retrieval/plain/{key}/top1", percent)
        for key, of in (
            ("equal_cells", "equal cells"),
            ("histogram", "colours"),
            ("moved_histogram", "colours moved"),
            ("size", "size"),
            ("combined", "combined"),
        )
    ),
    (
        "Retrieval",
        "no network, combined, mean reciprocal rank",
        "retrieval/plain/combined/mrr",
        three_decimals,
    ),
]
CODEBOOK: list[MetricLine] = [
    ("Codebook", "codes in use", "codebook/usage", percent),
    ("Codebook", "perplexity", "codebook/perplexity", one_decimal),
    ("Codebook", "steps since use, mean", "codebook/dead_code_age", one_decimal),
    ("Codebook", "median length of a code", "codebook/norm_median", four_digits),
]


def _lines(section: str, last: Mapping[str, float]) -> list[MetricLine]:
    if section == "Representation":
        return _tap_lines(last)
    known = {
        "Loss": LOSS,
        "Probes": PROBES,
        "Prediction": PREDICTION,
        "Retrieval": [*RETRIEVAL, *PLAIN],
        "Codebook": CODEBOOK,
    }
    return known[section]


def _tap_lines(last: Mapping[str, float]) -> list[MetricLine]:
    measured = [key.replace("test/", "val/", 1) for key in last]
    shown = [
        ("effective_rank", "effective rank"),
        ("rankme", "RankMe"),
        ("feature_std_l2", "scale (feature std, L2)"),
    ]
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


def _class_references(last: Mapping[str, float]) -> list[TableRow]:
    """Returns a row of the accuracies that the class probes are compared with, all measured on
    validation before training: of a probe on the pixels, of one on the encodings of the untrained
    encoder, and of a constant."""
    values = [
        _cell(last, f"reference/probe/class_from_{name}", _percent_only)
        for name in ("pixels", "untrained_z", "constant")
    ]
    if not all(values):
        return []
    label = "class, raw pixels / untrained / constant"
    return [TableRow("Probes", label, reference=f"{' / '.join(values)} %")]


def _kind_rows(last: Mapping[str, float]) -> list[TableRow]:
    """Returns a row for each kind of rule: top 1 of the prediction, of a copy of the query, and of
    the best baseline without a network."""
    start, end = "test/retrieval/rule/", "/n"
    counts = {
        key.removeprefix(start).removesuffix(end): value
        for key, value in last.items()
        if key.startswith(start) and key.endswith(end)
    }
    rows = []
    for kind, n in sorted(counts.items()):
        cells = (
            _cell(last, f"{start}{kind}/{of}top1", _percent_only) for of in ("", "copy_", "plain_")
        )
        label = f"{kind.replace('_', ' ')} ({n:.0f}), top 1: prediction / copy / no network"
        rows.append(TableRow("Retrieval", label, test=f"{' / '.join(cells)} %"))
    return rows


def _row(
    last: Mapping[str, float],
    expected: Mapping[str, str],
    images: Mapping[str, int],
    section: str,
    label: str,
    key: str,
    show: Format,
) -> TableRow:
    training, validation, test = (
        _cell(last, f"{split}/{key}", show) for split in ("train", "val", "test")
    )
    start = _cell(last, f"reference/{key}", show, dimension=False)
    if key.startswith(OF_THE_DATA):
        validation, start = validation or start, ""
    notes = [f"{start} at start" if start else "", expected.get(f"val/{key}", "")]
    reference = "; ".join(filter(None, notes))
    intervals = _intervals(last, images, key) if key.startswith(CLASS_PROBES) else {}
    return TableRow(section, label, training, validation, test, reference, intervals)


def _intervals(last: Mapping[str, float], images: Mapping[str, int], key: str) -> dict[str, str]:
    """Returns the interval of an accuracy on each split, by the name of its column."""
    found = {}
    for split, column in (("val", "validation"), ("test", "test")):
        share, n = last.get(f"{split}/{key}"), images.get(split)
        if n and share is not None and 0 <= share <= 1:
            low, high = wilson(share * n, n)
            found[column] = f"{100 * low:.1f} to {100 * high:.1f}"
    return found


def _cell(last: Mapping[str, float], key: str, show: Format, dimension: bool = True) -> str:
    if key not in last:
        return ""
    value = last[key]
    text = show(value) if math.isfinite(value) else str(value).replace("nan", "NaN")
    tap = key.split("/")[1]
    d = last.get(f"val/{tap}/d") if dimension and show is one_decimal else None
    return text if d is None or not math.isfinite(d) else f"{text} of {d:.0f}"
