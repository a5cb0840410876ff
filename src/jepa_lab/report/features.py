"""The diagnosis of features in a file, as text and for diagnosis.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jepa_lab.data.labels import Classes, listed
from jepa_lab.diagnosis.features import diagnose_features
from jepa_lab.diagnosis.inputs import label_classes
from jepa_lab.diagnosis.published import published_rules
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.errors import UserError, say
from jepa_lab.ledger.read import finite_or_null
from jepa_lab.report.feature_files import read_feature_file


def features_report(path: Path, rules: str) -> tuple[str, dict[str, Any]]:
    """Returns (text, plain data) of the diagnosis of the features in the file `path`.

    With rules="published" the text also has the verdict by the published thresholds. Raises
    UserError for a file without features."""
    verdict, classes = diagnose_file(path)
    evidence = {k.removeprefix("codebook/"): v for k, v in verdict.evidence.items()}
    published = published_rules(evidence)
    content: dict[str, Any] = {
        "features": str(path),
        "verdict": verdict.to_dict(),
        "published": {"status": published.status, "reasons": list(published.reasons)},
    }
    named = [] if classes is None or classes.index_like() else _named_counts(classes)
    if named:
        content["classes"] = [{"name": name, "rows": rows} for name, rows in named]
        content["unlabelled"] = int((classes.labels["labels"] < 0).sum()) if classes else 0
    lines = [f"verdict: {verdict.line()}", f"confidence: {verdict.confidence:.2f}"]
    if rules == "published":
        lines.append(f"published rules: {published.line()}")
    lines += [
        "",
        "quantities",
        *(f"  {name:<24} {value:.4g}" for name, value in verdict.evidence.items()),
    ]
    if named:
        names, rows = zip(*named, strict=True)
        counts = listed(names, form=lambda k, name: f"{name} ({rows[k]})")
        unknown = f"; {content['unlabelled']} rows of -1 or NaN belong to none"
        lines += ["", f"classes: {counts}{unknown if content['unlabelled'] else ''}"]
    if verdict.next:
        lines += ["", "to try", *(f"  {change}" for change in verdict.next)]
    plain: dict[str, Any] = finite_or_null(content)
    return "\n".join(lines), plain


def diagnose_file(path: Path) -> tuple[Verdict, Classes | None]:
    """Returns the verdict on the array `z` of the file, (n, d) or (n, v, d), and the classes of its
    labels.

    The arrays `labels`, (n,) or (n, 1), `codes` and `codebook_size` are optional. A line names the
    arrays that are called otherwise in the file. Raises UserError with the file and the array if
    the file cannot be read or an array does not fit."""
    file = read_feature_file(path)
    for ours, given in file.renamed.items():
        say(f"{path}: {ours} is {given}")
    z = file.arrays["z"]
    labels, codes, size = map(file.arrays.get, ("labels", "codes", "codebook_size"))
    if z.ndim not in (2, 3) or 0 in z.shape:
        raise UserError(f"{path}: z has shape {z.shape}; expected (n, d) or (n, v, d)")
    if labels is not None and labels.shape not in ((len(z),), (len(z), 1)):
        raise UserError(
            f"{path}: labels has shape {labels.shape}; expected ({len(z)},), one for each row of z"
        )
    if codes is not None and codes.dtype.kind == "f":
        raise UserError(f"{path}: codes holds {codes.dtype}; expected whole numbers from 0")
    try:
        classes = None if labels is None else label_classes(labels, len(z), 1)
        numbers = None if classes is None else classes.labels["labels"]
        return diagnose_features(z, labels=numbers, codes=codes, codebook_size=size), classes
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _named_counts(classes: Classes) -> list[tuple[str, int]]:
    """Returns (name, number of rows) of every class."""
    return list(zip(classes.names, classes.counts()["labels"], strict=True))
