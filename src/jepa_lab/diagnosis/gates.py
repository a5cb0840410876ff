"""Gates: checks that the last epoch of a run reached the limits set for its budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jepa_lab.config.gates import GATES, check_limit


@dataclass(frozen=True)
class GateResult:
    """A gate with its limit and the measured value. The value is None if the run does not measure
    it."""

    gate: str
    limit: float
    value: float | None

    @property
    def passed(self) -> bool:
        """Whether the value is on the right side of the limit. False for NaN and for a missing
        value."""
        if self.value is None or math.isnan(self.value):
            return False
        return self.value >= self.limit if self.gate.endswith("_min") else self.value <= self.limit

    def line(self) -> str:
        measured = "not measured" if self.value is None else f"{self.value:.4g}"
        side = "at least" if self.gate.endswith("_min") else "at most"
        return (
            f"{self.gate.removesuffix('_min').removesuffix('_max')} {measured}, {side}"
            f" {self.limit:g}"
        )


def evaluate_gates(limits: Mapping[str, float], last: Mapping[str, float]) -> list[GateResult]:
    """Returns a result for each {gate: limit}, from the last value of every metric. Raises
    ValueError for an unknown gate."""
    results = []
    for gate, limit in limits.items():
        check_limit(gate, gate, limit)
        values = [last.get(key) for key in GATES[gate]]
        known = [float(v) for v in values if v is not None]
        value = None
        if len(known) == len(values):
            value = known[0] - known[1] if len(known) == 2 else known[0]
        results.append(GateResult(gate, limit, value))
    return results


def gates_dict(results: list[GateResult]) -> dict[str, Any]:
    """Returns the results for summary.json: whether all gates passed (None without gates), and one
    row for each gate."""
    rows = [
        {
            "gate": r.gate,
            "metrics": list(GATES[r.gate]),
            "limit": r.limit,
            "value": r.value,
            "passed": r.passed,
        }
        for r in results
    ]
    return {"passed": all(r.passed for r in results) if results else None, "results": rows}


def gates_line(results: list[GateResult]) -> str:
    """Returns a line such as '4 of 5 passed; failed: z_effective_rank 3.1, at least 5', or 'none'
    without gates."""
    if not results:
        return "none"
    failed = [r.line() for r in results if not r.passed]
    passed = len(results) - len(failed)
    return f"{passed} of {len(results)} passed" + (
        f"; failed: {'; '.join(failed)}" if failed else ""
    )
