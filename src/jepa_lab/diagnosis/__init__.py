"""From what was measured to a verdict. Reads numbers, never models."""

from typing import TYPE_CHECKING, Any

from jepa_lab.diagnosis.rules import Examination, examine, judge
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.diagnosis.verdict import Verdict

if TYPE_CHECKING:
    from jepa_lab.diagnosis.features import diagnose_features

__all__ = ["Examination", "Thresholds", "Verdict", "diagnose_features", "examine", "judge"]


def __getattr__(name: str) -> Any:
    """`diagnose_features` on demand: it needs torch, and a verdict from a ledger should not wait
    for that."""
    if name == "diagnose_features":
        from jepa_lab.diagnosis.features import diagnose_features

        return diagnose_features
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
