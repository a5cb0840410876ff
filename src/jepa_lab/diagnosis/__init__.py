"""Turns measured numbers into a verdict. The rules never read a model."""

from typing import TYPE_CHECKING, Any

from jepa_lab.diagnosis.rules import Examination, examine, judge
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.diagnosis.verdict import Verdict

if TYPE_CHECKING:
    from jepa_lab.diagnosis.features import diagnose_features

__all__ = ["Examination", "Thresholds", "Verdict", "diagnose_features", "examine", "judge"]


def __getattr__(name: str) -> Any:
    """Imports `diagnose_features` on first use. It needs torch, and a verdict from a ledger should
    not have to wait for that import."""
    if name == "diagnose_features":
        from jepa_lab.diagnosis.features import diagnose_features

        return diagnose_features
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
