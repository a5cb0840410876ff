"""The verdict on several taps is chosen as the rules over a history choose."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from jepa_lab.diagnosis import Verdict, diagnose_features, judge
from jepa_lab.diagnosis.several import worst_of
from jepa_lab.monitor.statistics import TapStatistics

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(400, 64))
KINDS = {
    "healthy": Z,
    "low_rank": Z * np.arange(1, 65) ** -1.25,
    "dimensional_collapse": Z[:, :1] * Z[0],
    "complete_collapse": 1 + 1e-6 * Z,
    "diverged": np.where(np.arange(400)[:, None] == 7, np.nan, Z),
}
ALONE = {kind: diagnose_features(z) for kind, z in KINDS.items()}


def metrics(name: str, z: np.ndarray) -> dict[str, list[tuple[int, float]]]:
    statistics = TapStatistics()
    statistics.update(torch.from_numpy(z))
    return {f"val/{name}/{key}": [(0, value)] for key, value in statistics.values().items()}


@pytest.mark.parametrize(("one", "other"), list(product(KINDS, KINDS)))
def test_the_worst_of_two_taps_is_that_of_the_rules(one: str, other: str) -> None:
    taps = {"backbone": one, "projection": other}
    found = worst_of({tap: ALONE[kind] for tap, kind in taps.items()})
    history = {k: x for tap, kind in taps.items() for k, x in metrics(tap, KINDS[kind]).items()}
    judged = judge(history, taps=tuple(taps))
    assert (found.status, found.tap) == (judged.status, judged.tap)
    assert found.per_tap == judged.per_tap == taps


def test_one_tap_keeps_its_verdict() -> None:
    assert worst_of({"z": ALONE["low_rank"]}) is ALONE["low_rank"]


def test_reasons_and_evidence_name_the_tap() -> None:
    both = worst_of({"a": ALONE["healthy"], "b": ALONE["healthy"]})
    assert both.reasons == tuple(f"{tap}: {ALONE['healthy'].reasons[0]}" for tap in "ab")
    assert both.evidence["b/effective_rank"] == ALONE["healthy"].evidence["effective_rank"]
    assert both.confidence == ALONE["healthy"].confidence


@pytest.mark.parametrize(
    ("other", "status", "tap"),
    [
        ("healthy", "inconclusive", "few"),
        ("low_rank", "inconclusive", "few"),
        ("dimensional_collapse", "dimensional_collapse", "other"),
    ],
)
def test_a_tap_with_too_few_rows_is_inconclusive_unless_another_failed(
    other: str, status: str, tap: str
) -> None:
    few = diagnose_features(Z[:9])
    found = worst_of({"few": few, "other": ALONE[other]})
    assert (found.status, found.tap) == (status, tap)


def test_codes_that_collapsed_are_blamed_and_not_the_features_beside_them() -> None:
    with_codes = diagnose_features(Z, codes=np.zeros(400, int), codebook_size=64)
    found = worst_of({"backbone": with_codes, "projection": ALONE["healthy"]})
    assert (found.status, found.tap) == ("codebook_collapse", "codebook")
    assert found.per_tap == {
        "backbone": "healthy",
        "codebook": "codebook_collapse",
        "projection": "healthy",
    }


def test_a_spread_without_a_rank_and_a_rank_without_a_spread_are_no_tap() -> None:
    for name in ("effective_rank", "feature_std_l2"):
        verdict: Verdict = judge({f"val/z/{name}": [(0, 5.0), (10, 5.0)]})
        assert verdict.status == "inconclusive"
        assert "is needed" in verdict.line()
