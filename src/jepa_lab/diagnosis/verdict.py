"""The verdict on a representation: what it is, where, since when, and on which evidence."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """status: one of STATUSES; tap: the representation it is about, None for the whole run;
    since_step: the optimiser step from which it holds to the end; confidence in [0, 1]: a function
    of how far the evidence lies beyond its threshold (`Thresholds.confidence`), 0 for inconclusive;
    reasons: sentences, notes among them; evidence: the numbers behind them; next: commands or
    changes to try; per_tap: status of each tap.
    """

    status: str
    tap: str | None = None
    since_step: int | None = None
    confidence: float = 0.0
    reasons: tuple[str, ...] = ()
    evidence: dict[str, float] = field(default_factory=dict)
    next: tuple[str, ...] = ()
    per_tap: dict[str, str] = field(default_factory=dict)

    def line(self) -> str:
        """The verdict in one line; its first word is the status."""
        place = f" of {self.tap}" if self.tap else ""
        since = f" since step {self.since_step}" if self.since_step is not None else ""
        return f"{self.status}{place}{since}" + (
            f": {'; '.join(self.reasons)}" if self.reasons else ""
        )

    def to_dict(self) -> dict[str, Any]:
        """For summary.json, the line included."""
        return {**asdict(self), "line": self.line()}
