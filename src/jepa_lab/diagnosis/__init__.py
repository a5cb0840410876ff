"""From what was measured to a verdict. Reads numbers, never models."""

from jepa_lab.diagnosis.features import diagnose_features
from jepa_lab.diagnosis.rules import Thresholds, judge
from jepa_lab.diagnosis.verdict import Verdict

__all__ = ["Thresholds", "Verdict", "diagnose_features", "judge"]
