"""A verdict on raw features, wherever they come from."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.diagnosis.rules import Thresholds, judge_tap
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.metrics import collapse_metrics


def diagnose_features(
    z: Tensor, *, labels: Tensor | None = None, codes: Tensor | None = None, reference: Tensor | None = None
) -> Verdict:
    """The verdict on (n, d) features, or (n, v, d) of v views; `reference`: the same tap at initialisation.

    labels and codes are accepted for the rules that are to come and change nothing yet. Features that are not finite
    are "diverged", fewer than 32 rows "inconclusive". ValueError for another shape.
    """
    if z.ndim not in (2, 3):
        raise ValueError(f"expected features (n, d) or (n, v, d), got {tuple(z.shape)}")
    z = z.flatten(0, -2)
    t = Thresholds()
    if not bool(torch.isfinite(z).all()):
        return Verdict("diverged", "z", confidence=1.0, reasons=("features are not finite",))
    if len(z) < t.samples:
        return Verdict("inconclusive", "z", reasons=(f"{len(z)} rows; {t.samples} are needed",))
    now = {**collapse_metrics(z), "d": float(z.shape[1])}
    start = {} if reference is None else collapse_metrics(reference.flatten(0, -2))
    found = judge_tap(now, start, t, skill_fell=False)
    reasons = (found.reason,) if found.reason else (f"effective rank {now['effective_rank']:.1f}",)
    return Verdict(
        found.status, "z", confidence=found.strength, reasons=reasons, evidence=now, per_tap={"z": found.status}
    )
