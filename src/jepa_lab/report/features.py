"""The diagnosis of features in a file, as text and for diagnosis.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jepa_lab.data.labels import Classes, listed
from jepa_lab.diagnosis.published import published_rules
from jepa_lab.ledger.read import finite_or_null
from jepa_lab.report.npz import diagnose_npz


def features_report(path: Path, rules: str) -> tuple[str, dict[str, Any]]:
    """Returns (text, plain data) of the diagnosis of the features in the file `path`.

    With rules="published" the text also has the verdict by the published thresholds. Raises
    UserError for a file without features."""
    verdict, classes = diagnose_npz(path)
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


def _named_counts(classes: Classes) -> list[tuple[str, int]]:
    """Returns (name, number of rows) of every class."""
    return list(zip(classes.names, classes.counts()["labels"], strict=True))
