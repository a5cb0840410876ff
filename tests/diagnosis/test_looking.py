"""Rows are looked at before features are judged: what is no sample is named first and left out, and
what only looks like it is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jepa_lab.diagnosis import Verdict, diagnose_features
from odd_rows import CASES, Case, constant, gathered


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_rows_that_are_no_samples_are_named_and_the_others_judged(case: Case) -> None:
    z, labels = case.make(np.random.default_rng(0))
    verdict = diagnose_features(z, labels=labels)
    expect(verdict, case)


def expect(verdict: Verdict, case: Case) -> None:
    assert verdict.status == case.status, verdict.line()
    for words in case.said:
        assert words in verdict.line()
    for words in case.unsaid:
        assert words not in verdict.line()
    if case.accuracy is not None:
        assert verdict.evidence["neighbour_accuracy"] == pytest.approx(case.accuracy, abs=0.06)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_rows_that_are_not_finite_are_counted_and_the_others_described(kind: torch.dtype) -> None:
    z = torch.randn(400, 16, generator=torch.Generator().manual_seed(0)).to(kind)
    z[5, 2], z[399] = torch.nan, torch.inf
    line = diagnose_features(z).line()
    assert line.startswith("diverged of z: features are not finite: 2 of 400 rows (1 NaN, 1 inf")
    assert "the other 398 rows alone: healthy" in line
    few = diagnose_features(z[380:])
    assert (few.status, few.reasons[1:]) == ("diverged", ())


def test_the_others_of_rows_that_are_not_finite_can_be_collapsed() -> None:
    z, _ = constant(np.random.default_rng(0))
    z[7] = np.nan
    verdict = diagnose_features(z)
    assert verdict.status == "diverged"
    assert "the other 499 rows alone: complete_collapse" in verdict.line()


def test_the_order_of_rows_does_not_change_the_verdict() -> None:
    z, y = gathered(np.random.default_rng(0), 3)
    order = np.random.default_rng(1).permutation(len(z))
    verdict, other = diagnose_features(z, labels=y), diagnose_features(z[order], labels=y[order])
    assert other.reasons[0] == verdict.reasons[0]
    for name in ("effective_rank", "copies", "chance"):
        assert other.evidence[name] == pytest.approx(verdict.evidence[name])


def test_features_equal_to_their_reference_are_named() -> None:
    z = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    same = "z equals the reference"
    assert same in diagnose_features(z, reference=z.clone()).line()
    assert same not in diagnose_features(z, reference=z + 1e-3).line()
    assert same not in diagnose_features(z).line()
    assert same not in diagnose_features(z, reference=z[:100]).line()
