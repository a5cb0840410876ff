"""The verdict of a monitor, which prints itself in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from jepa_lab.config.statuses import failed
from jepa_lab.diagnosis.finding import History
from jepa_lab.diagnosis.plain import PlainRemedies
from jepa_lab.diagnosis.quantities import quantities, timeline
from jepa_lab.diagnosis.rules import examine
from jepa_lab.diagnosis.text import event_lines, quantity_lines
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.diagnosis.verdict import Verdict

UNSEEN = 0.25  # share of the steps after the last measurement that is worth a remark


@dataclass(frozen=True)
class MonitorVerdict(Verdict):
    """A verdict with its text. `str` gives the line, the failures in order, the quantities with
    their healthy ranges, and what to try."""

    text: str = ""

    def __str__(self) -> str:
        return self.text or self.line()

    def brief(self) -> str:
        """Returns the text of a failure, and the line of anything else."""
        return str(self) if failed(self.status) else self.line()


def judged(history: History, taps: Sequence[str], last: int = -1) -> MonitorVerdict:
    """Returns the verdict on measured values. `last` is the last step of the training."""
    t = Thresholds()
    found = examine(history, t, judged=tuple(taps), remedies=PlainRemedies())
    verdict = found.verdict
    old = _age(history, taps, last)
    verdict = replace(verdict, reasons=(*verdict.reasons, *old))
    lines = [f"verdict: {verdict.line()}", _measured(history, taps)]
    lines += event_lines(timeline(found))
    lines += quantity_lines(quantities(history, t, taps=taps))
    if verdict.next:
        lines += ["", "to try", *(f"  {change}" for change in verdict.next)]
    known = {field.name: getattr(verdict, field.name) for field in fields(Verdict)}
    return MonitorVerdict(**known, text="\n".join(lines))


def _age(history: History, taps: Sequence[str], last: int) -> tuple[str, ...]:
    """Returns a remark if the last measurement is from long before the last step."""
    at = max(
        (history[f"val/{tap}/n"][-1][0] for tap in taps if f"val/{tap}/n" in history), default=last
    )
    if last - at <= UNSEEN * last:
        return ()
    return (f"last measured at step {at:,} of {last:,}",)


def _measured(history: History, taps: Sequence[str]) -> str:
    """Returns how often, when and how many samples were measured."""
    counts = [history[f"val/{tap}/n"] for tap in taps if f"val/{tap}/n" in history]
    if not counts:
        return "measured: nothing yet"
    steps = sorted({step for points in counts for step, _ in points})
    rows = min(points[-1][1] for points in counts)
    times = "once" if len(steps) == 1 else f"{len(steps):,} times"
    span = (
        f"at step {steps[0]:,}" if len(steps) == 1 else f"from step {steps[0]:,} to {steps[-1]:,}"
    )
    return f"measured: {times}, {span}, {rows:,.0f} rows the last time"
