"""The diagnosis of several files of features in order, such as one for each epoch: a trend with the
step since when it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jepa_lab.config.statuses import failed
from jepa_lab.diagnosis.codes import read_codes
from jepa_lab.diagnosis.inputs import feature_tensor
from jepa_lab.diagnosis.plain import PlainRemedies
from jepa_lab.diagnosis.rules import examine
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.errors import UserError, say
from jepa_lab.ledger.parquet import History
from jepa_lab.ledger.read import finite_or_null
from jepa_lab.monitor.statistics import TapStatistics
from jepa_lab.report.feature_files import FeatureFile, read_feature_file
from jepa_lab.report.features import Judged, judge_arrays, require_shapes, tap_lines
from jepa_lab.report.log_report import Report, history_parts
from jepa_lab.report.series_labels import with_labels
from jepa_lab.report.series_order import in_order


@dataclass
class Measured:
    """The metrics of all files so far, by the names that the rules know. `widths` are the numbers
    of dimensions of the taps."""

    history: History = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)

    def add(self, step: int, file: FeatureFile, path: Path) -> None:
        """Adds the metrics of a file. Raises UserError for other taps or widths than before."""
        require_shapes(file, path)
        widths = {tap: z.shape[-1] for tap, z in file.taps.items()}
        if self.widths not in ({}, widths):
            now, before = (
                ", ".join(f"{tap} of {d} dimensions" for tap, d in found.items())
                for found in (widths, self.widths)
            )
            raise UserError(f"{path}: {now}; the files before it have {before}")
        self.widths = widths
        try:
            values = _values("val", file.taps)
            if not any(key.startswith("reference/") for key in self.history):
                values |= _values("reference", file.references)
            rows = next(iter(file.taps.values())).shape[:-1]
            if file.codes is not None:
                book = read_codes(file.codes, file.codebook_size, rows).evidence()
                keys = (f"codebook/{name}" for name in ("usage", "perplexity", "size"))
                values |= {f"val/{key}": book[key] for key in keys if key in book}
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None
        for key, value in values.items():
            self.history.setdefault(key, []).append((step, value))


def series_report(paths: Sequence[Path], rules: str) -> Report:
    """Returns (text, plain data) of the diagnosis of several files of features.

    The verdict is that of the rules on the metrics of all files, with the step of the file since
    which it holds. If they find no failure, it is that on the last file, which is also judged
    alone, with its labels and row by row. Labels that are told apart there contradict a collapse
    of the trend too. Raises UserError for a file without features, or with other taps or widths
    than the others, and for names that give no order."""
    series = in_order(paths)
    measured, last = Measured(), Judged(Verdict("inconclusive"))
    remarks: dict[str, Path] = {}
    for step, path in zip(series.steps, series.paths, strict=True):
        file = read_feature_file(path)
        for remark in file.remarks:
            remarks.setdefault(remark, path)
        measured.add(step, file, path)
        if path == series.paths[-1]:
            last = judge_arrays(file, path)
    taps, t = tuple(measured.widths), Thresholds()
    found = examine(measured.history, t, judged=taps, remedies=PlainRemedies())
    found = with_labels(found, last.taps, t)
    trend = found.verdict
    for remark, path in remarks.items():  # after the diagnosis: an error is one line
        say(f"{path}: {remark}")
    alone = failed(last.verdict.status) and not failed(trend.status)
    verdict = last.verdict if alone else trend
    head, body, content = history_parts(found, verdict, measured.history, taps, rules)
    about = [
        f"files:   {len(paths)}, steps {series.how}",
        *series.lines(),
        *([f"over all files: {trend.line()}"] if alone else []),
        f"the last file alone: {last.verdict.line()}",
        *(tap_lines(last.taps) if len(taps) > 1 else []),
    ]
    content = {
        "features": [str(path) for path in series.paths],
        "steps": list(series.steps),
        "steps_from": series.how,
        "taps": list(taps),
        **content,
        "trend": trend.to_dict(),
        "last": last.verdict.to_dict(),
        "history": {key: [list(point) for point in x] for key, x in measured.history.items()},
    }
    plain: dict[str, Any] = finite_or_null(content)
    return "\n".join([*head, *about, *body]), plain


def _values(prefix: str, taps: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns the metrics of every tap as a monitor logs them."""
    found: dict[str, float] = {}
    for tap, z in taps.items():
        statistics = TapStatistics()
        statistics.update(feature_tensor(z, tap))
        found |= {f"{prefix}/{tap}/{name}": x for name, x in statistics.values().items()}
    return found
