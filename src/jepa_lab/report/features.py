"""The diagnosis of features in a file, as text and for diagnosis.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jepa_lab.diagnosis.published import published_rules
from jepa_lab.ledger.read import finite_or_null
from jepa_lab.report.npz import diagnose_npz


def features_report(path: Path, rules: str) -> tuple[str, dict[str, Any]]:
    """Returns (text, plain data) of the diagnosis of the features in the file `path`.

    With rules="published" the text also has the verdict by the published thresholds. Raises
    UserError for a file without features."""
    verdict = diagnose_npz(path)
    evidence = {k.removeprefix("codebook/"): v for k, v in verdict.evidence.items()}
    published = published_rules(evidence)
    content = {
        "features": str(path),
        "verdict": verdict.to_dict(),
        "published": {"status": published.status, "reasons": list(published.reasons)},
    }
    lines = [f"verdict: {verdict.line()}", f"confidence: {verdict.confidence:.2f}"]
    if rules == "published":
        lines.append(f"published rules: {published.line()}")
    lines += [
        "",
        "quantities",
        *(f"  {name:<24} {value:.4g}" for name, value in verdict.evidence.items()),
    ]
    if verdict.next:
        lines += ["", "to try", *(f"  {change}" for change in verdict.next)]
    plain: dict[str, Any] = finite_or_null(content)
    return "\n".join(lines), plain
