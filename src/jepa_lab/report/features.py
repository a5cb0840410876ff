"""The diagnosis of the features in one file, as text and for diagnosis.json."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jepa_lab.data.labels import Classes, listed
from jepa_lab.diagnosis.features import diagnose_features
from jepa_lab.diagnosis.inputs import label_classes
from jepa_lab.diagnosis.published import Published, of_tap, published_rules, worst_published
from jepa_lab.diagnosis.several import worst_of
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.errors import UserError, say
from jepa_lab.ledger.read import finite_or_null
from jepa_lab.report.feature_files import FeatureFile, read_feature_file
from jepa_lab.report.log_report import Report


@dataclass(frozen=True)
class Judged:
    """The verdicts on the taps of a file, the worst of them, and the classes of its labels."""

    verdict: Verdict
    taps: dict[str, Verdict] = field(default_factory=dict)
    classes: Classes | None = None

    def published(self) -> Published:
        """Returns the verdict by the published thresholds, that of the worst tap."""
        values = {tap: _without_book(v.evidence) for tap, v in self.taps.items()}
        if len(values) == 1:
            return published_rules(next(iter(values.values())))
        return worst_published([of_tap(tap, found) for tap, found in values.items()])


def features_report(path: Path, rules: str) -> Report:
    """Returns (text, plain data) of the diagnosis of the features in the file `path`.

    With rules="published" the text also has the verdict by the published thresholds. Raises
    UserError for a file without features."""
    judged = diagnose_file(path)
    verdict, classes, published = judged.verdict, judged.classes, judged.published()
    content: dict[str, Any] = {
        "features": str(path),
        "verdict": verdict.to_dict(),
        "published": {"status": published.status, "reasons": list(published.reasons)},
    }
    if len(judged.taps) > 1:
        content["taps"] = {tap: v.to_dict() for tap, v in judged.taps.items()}
    named = [] if classes is None or classes.index_like() else _named_counts(classes)
    if named:
        content["classes"] = [{"name": name, "rows": rows} for name, rows in named]
        content["unlabelled"] = int((classes.labels["labels"] < 0).sum()) if classes else 0
    lines = [f"verdict: {verdict.line()}", f"confidence: {verdict.confidence:.2f}"]
    if rules == "published":
        lines.append(f"published rules: {published.line()}")
    if len(judged.taps) > 1:
        lines += ["", "taps", *tap_lines(judged.taps)]
    lines += ["", "quantities", *_table(judged.taps)]
    if named:
        names, rows = zip(*named, strict=True)
        counts = listed(names, form=lambda k, name: f"{name} ({rows[k]})")
        unknown = f"; {content['unlabelled']} rows of -1 or NaN belong to none"
        lines += ["", f"classes: {counts}{unknown if content['unlabelled'] else ''}"]
    if verdict.next:
        lines += ["", "to try", *(f"  {change}" for change in verdict.next)]
    plain: dict[str, Any] = finite_or_null(content)
    return "\n".join(lines), plain


def diagnose_file(path: Path) -> Judged:
    """Returns the verdict on every tap of the file, (n, d) or (n, v, d), the worst of them, and the
    classes of the labels.

    Labels, (n,) or (n, 1), belong to all taps with n rows, codes and their codebook to the first
    tap. A line names the arrays that are called otherwise in the file, and those that are left out.
    Raises UserError with the file and the array if the file cannot be read or an array does not
    fit."""
    file = read_feature_file(path)
    judged = judge_arrays(file, path)
    for remark in file.remarks:  # after the diagnosis: an error is one line
        say(f"{path}: {remark}")
    return judged


def judge_arrays(file: FeatureFile, path: Path) -> Judged:
    """Returns `diagnose_file` of the content of the file."""
    require_shapes(file, path)
    (first, z), *_ = file.taps.items()
    try:
        classes = None if file.labels is None else label_classes(file.labels, len(z), 1)
        numbers = None if classes is None else classes.labels["labels"]
        taps = {}
        for tap, features in file.taps.items():
            with_codes = {"codes": file.codes, "codebook_size": file.codebook_size}
            taps[tap] = diagnose_features(
                features,
                labels=numbers,
                reference=file.references.get(tap),
                **(with_codes if tap == first else {}),
            )
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    return Judged(worst_of(taps), taps, classes)


def tap_lines(verdicts: dict[str, Verdict]) -> list[str]:
    """Returns one line for the verdict on each tap."""
    width = max(map(len, verdicts))
    return [f"  {tap:<{width}}  {replace(v, tap=None).line()}" for tap, v in verdicts.items()]


def require_shapes(file: FeatureFile, path: Path) -> None:
    """Raises UserError for arrays that fit no features, or not each other."""
    for tap, z in file.taps.items():
        if z.ndim not in (2, 3) or 0 in z.shape:
            raise UserError(f"{path}: {tap} has shape {z.shape}; expected (n, d) or (n, v, d)")
    n, labels, codes = len(next(iter(file.taps.values()))), file.labels, file.codes
    if labels is not None and labels.shape not in ((n,), (n, 1)):
        raise UserError(
            f"{path}: labels has shape {labels.shape}; expected ({n},), one for each row of z"
        )
    if codes is not None and codes.dtype.kind == "f":
        raise UserError(f"{path}: codes holds {codes.dtype}; expected whole numbers from 0")


def _table(verdicts: dict[str, Verdict]) -> list[str]:
    """Returns the evidence, one column for each tap."""
    names = dict.fromkeys(name for v in verdicts.values() for name in v.evidence)
    if len(verdicts) == 1:
        (only,) = verdicts.values()
        return [f"  {name:<24} {only.evidence[name]:.4g}" for name in names]
    widths = {tap: max(len(tap), 10) for tap in verdicts}
    head = "  ".join(f"{tap:>{width}}" for tap, width in widths.items())
    rows = [
        "  ".join(
            f"{_cell(verdicts[tap].evidence.get(name)):>{width}}" for tap, width in widths.items()
        )
        for name in names
    ]
    return [f"  {'':<24} {head}", *(f"  {n:<24} {row}" for n, row in zip(names, rows, strict=True))]


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _without_book(evidence: dict[str, float]) -> dict[str, float]:
    return {name.removeprefix("codebook/"): value for name, value in evidence.items()}


def _named_counts(classes: Classes) -> list[tuple[str, int]]:
    """Returns (name, number of rows) of every class."""
    return list(zip(classes.names, classes.counts()["labels"], strict=True))
