"""The diagnosis of the log of other code, as text and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from jepa_lab.diagnosis.finding import History
from jepa_lab.diagnosis.published import published_of_run
from jepa_lab.diagnosis.quantities import order_sentence, quantities, timeline
from jepa_lab.diagnosis.rules import Examination
from jepa_lab.diagnosis.text import event_lines, quantity_lines
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.errors import UserError
from jepa_lab.ledger.read import finite_or_null
from jepa_lab.report.diagnosis import event_data
from jepa_lab.report.foreign_logs import Read, examine_log
from jepa_lab.report.log_readers import LEDGER, Log

Report = tuple[str, dict[str, Any]]


def log_report(log: Log, rules: str) -> Report:
    """Returns (text, plain data) of the diagnosis of a log.

    With rules="published" the text also has the verdict by the published thresholds. Raises
    UserError for a log that says nothing of a representation."""
    try:
        found, read = examine_log(log.history, Thresholds(), exact=log.kind == LEDGER)
    except UserError as error:
        raise UserError(f"{log.path}: {error}") from None
    head, body, content = history_parts(found, found.verdict, read.history, read.taps, rules)
    about = f"log:     {_about(log, read)}"
    content = {"log": str(log.path), "kind": log.kind, "taps": list(read.taps), **content}
    plain: dict[str, Any] = finite_or_null(content)
    return "\n".join([*head, about, *body]), plain


def history_parts(
    found: Examination, verdict: Verdict, history: History, taps: Sequence[str], rules: str
) -> tuple[list[str], list[str], dict[str, Any]]:
    """Returns (first lines, other lines, plain data) of the examination of a history under the
    names val/<tap>/.

    The first lines are the verdict and its confidence. `verdict` is the one to show, which may
    differ from that of the rules."""
    t = Thresholds()
    events, rows = timeline(found), quantities(history, t, taps=taps)
    published = published_of_run(history, taps)
    head = [f"verdict: {verdict.line()}"]
    if verdict.status != "inconclusive":
        head.append(f"confidence: {verdict.confidence:.2f}")
    if rules == "published":
        head.append(f"published rules: {published.line()}")
    content = {
        "verdict": verdict.to_dict(),
        "step": max((points[-1][0] for points in history.values() if points), default=0),
        "order": order_sentence(events),
        "timeline": [event_data(f) for f in events],
        "quantities": [asdict(row) for row in rows],
        "notes": [f.reason for f in found.notes],
        "missing": list(found.missing),
        "published": {"status": published.status, "reasons": list(published.reasons)},
    }
    body = [*event_lines(events), *quantity_lines(rows)]
    if verdict.next:
        body += ["", "to try", *(f"  {change}" for change in verdict.next)]
    return head, body, content


def _about(log: Log, read: Read) -> str:
    """Returns what was read, for example `table, 12 validations of code, steps 33 to 396`."""
    if not read.taps:
        ends = [step for points in read.history.values() for step, _ in points]
        return f"{log.kind}, {len(read.history)} metrics, steps {min(ends)} to {max(ends)}"
    counts = {tap: len(read.history[f"val/{tap}/effective_rank"]) for tap in read.taps}
    steps = [s for tap in read.taps for s, _ in read.history[f"val/{tap}/effective_rank"]]
    several = len(set(counts.values())) > 1
    named = [f"{tap} ({n})" if several else tap for tap, n in counts.items()]
    number = max(counts.values())
    text = (
        f"{log.kind}, {number} validation{'s' * (number != 1)} of {', '.join(named)}, steps"
        f" {min(steps)} to {max(steps)}"
    )
    if read.prefix != "val":
        text += f", prefix {read.prefix or 'none'}"
    return text + (f"; not judged: prefix {', '.join(read.others)}" if read.others else "")
