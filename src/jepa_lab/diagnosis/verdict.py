"""The verdict on a representation: its status, its tap, its first step and its evidence."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """A status with its reasons and evidence.

    `status` is one of STATUSES. `tap` names the judged representation, or is None for the whole
    run. `since_step` is the optimiser step from which the status holds until the end. `confidence`
    lies in [0, 1]. It grows with the distance of the evidence from its threshold
    (`Thresholds.confidence`) and is 0 for inconclusive. `reasons` are sentences. Notes are among
    them. `evidence` holds the numbers behind the reasons. `next` holds commands or changes to try.
    `per_tap` maps each tap to its status. `prediction` is the state of the prediction with its
    evidence (see `progress`), or "" if it is not judged.
    """

    status: str
    tap: str | None = None
    since_step: int | None = None
    confidence: float = 0.0
    reasons: tuple[str, ...] = ()
    evidence: dict[str, float] = field(default_factory=dict)
    next: tuple[str, ...] = ()
    per_tap: dict[str, str] = field(default_factory=dict)
    prediction: str = ""

    def line(self) -> str:
        """Returns the verdict as one line. Its first word is the status."""
        place = f" of {self.tap}" if self.tap else ""
        since = f" since step {self.since_step}" if self.since_step is not None else ""
        reasons = f": {'; '.join(self.reasons)}" if self.reasons else ""
        prediction = f" | prediction: {self.prediction}" if self.prediction else ""
        return f"{self.status}{place}{since}{reasons}{prediction}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields and the line, for summary.json."""
        return {**asdict(self), "line": self.line()}
