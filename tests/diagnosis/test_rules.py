"""The single rules, on features without a reference and on constructed histories."""

import math
from collections.abc import Callable

import pytest
import torch

from jepa_lab.diagnosis import Thresholds, diagnose_features, judge
from jepa_lab.diagnosis.taps import judge_tap

N, D = 500, 64
CASES: dict[str, tuple[Callable[[], torch.Tensor], str]] = {
    "isotropic": (lambda: torch.randn(N, D), "healthy"),
    "one dimension": (lambda: torch.randn(N, 1), "healthy"),
    "two dimensions": (lambda: torch.randn(N, 2), "healthy"),
    "three dimensions": (lambda: torch.randn(N, 3), "healthy"),
    "rank 1 of two dimensions": (
        lambda: torch.randn(N, 1) @ torch.randn(1, 2),
        "dimensional_collapse",
    ),
    "mean ten times the spread": (lambda: torch.randn(N, D) + 10, "healthy"),
    "mean a hundred times the spread": (lambda: torch.randn(N, D) + 100, "complete_collapse"),
    "tiny": (lambda: 1e-20 * torch.randn(N, D), "healthy"),
    "power law": (lambda: torch.randn(N, D) * torch.arange(1, D + 1).float().pow(-0.5), "healthy"),
    "steep power law": (
        lambda: torch.randn(N, D) * torch.arange(1, D + 1).float().pow(-1.25),
        "low_rank",
    ),
    "constant with noise": (lambda: 1 + 1e-3 * torch.randn(N, D), "complete_collapse"),
    "one coordinate of either sign": (
        lambda: torch.eye(D)[:1] * torch.randn(N, 1).sign(),
        "dimensional_collapse",
    ),
    "rank 2 with noise": (
        lambda: torch.randn(N, 2) @ torch.randn(2, D) + 1e-3 * torch.randn(N, D),
        "dimensional_collapse",
    ),
    "two tight clusters": (
        lambda: torch.randn(2, D)[torch.arange(N) % 2] + 1e-3 * torch.randn(N, D),
        "dimensional_collapse",
    ),
    "ten wide clusters": (
        lambda: torch.randn(10, D)[torch.arange(N) % 10] + 0.5 * torch.randn(N, D),
        "healthy",
    ),
    "fewer rows than dimensions": (lambda: torch.randn(40, 512), "healthy"),
    "31 rows": (lambda: torch.randn(31, D), "inconclusive"),
    "one NaN": (lambda: torch.randn(N, D).index_fill(0, torch.tensor([7]), math.nan), "diverged"),
}


def test_a_constant_that_is_not_finite_is_blamed_on_the_loss() -> None:
    broken = [(0, 1.0), (10, math.nan)]
    verdict = judge({"val/loss/constant": broken, "val/loss/prediction": broken})
    assert (verdict.status, verdict.reasons[0]) == ("diverged", "val/loss/prediction is not finite")


@pytest.mark.parametrize("case", CASES)
def test_features_without_a_reference_get_the_right_status(case: str) -> None:
    make, status = CASES[case]
    verdict = diagnose_features(make())
    assert verdict.status == status, verdict.line()
    assert 0.0 <= verdict.confidence <= 1.0
    assert "\n" not in verdict.line()


def test_low_rank_at_initialisation_makes_a_low_rank_a_note() -> None:
    z = torch.randn(N, 2) @ torch.randn(2, D)
    assert diagnose_features(z).status == "dimensional_collapse"
    assert diagnose_features(z, reference=z).status == "low_rank"


def test_low_rank_is_a_collapse_even_with_some_spread() -> None:
    now = {
        "effective_rank": 1.7,
        "feature_std_l2": 0.17,
        "mean_pairwise_cosine": 0.97,
        "n": 1000.0,
        "d": 160.0,
    }
    found = judge_tap(now, {"effective_rank": 7.5}, Thresholds(), skill_fell=False)
    assert found.status == "dimensional_collapse"
    negligible = now | {"feature_std_l2": 0.01, "mean_pairwise_cosine": 0.9999}
    assert judge_tap(negligible, {}, Thresholds(), skill_fell=False).status == "complete_collapse"


@pytest.mark.parametrize("key", ["train/loss/prediction", "train/loss/total"])
def test_single_bad_batch_is_no_divergence(key: str) -> None:
    calm = [(step, 0.5) for step in range(20)]
    assert judge({key: [*calm, (20, 9.0)]}).status == "inconclusive"
    assert judge({key: [*calm, *((20 + i, 9.0) for i in range(3))]}).since_step == 20


def test_cross_entropy_diverges_only_far_above_its_start() -> None:
    """DINO starts at ln K, may pass through one-hot targets (a loss near 0), and rises again as the
    targets spread."""
    loss = [5.5, *[0.1] * 6, *[5.0] * 20]
    spread = {
        key: list(enumerate(loss)) for key in ("train/loss/prediction", "train/loss/cross_entropy")
    }
    assert judge(spread).status == "inconclusive"
    # below its start
    assert (
        judge({"train/loss/prediction": spread["train/loss/prediction"]}).status == "inconclusive"
    )
    # A run that was wrongly called diverged: its first value was low by chance.
    low = [3.0, *[0.1] * 6, *[5.0] * 20]
    risen = {key: list(enumerate(low)) for key in spread}
    assert judge(risen).status == "inconclusive"
    assert judge({"train/loss/prediction": risen["train/loss/prediction"]}).status == "diverged"
    far = {key: list(enumerate([3.0, *[40.0] * 20])) for key in spread}
    assert judge(far).status == "diverged"


def test_recovered_spike_does_not_date_a_later_divergence() -> None:
    loss = (
        [(s, 0.5) for s in range(10)] + [(10, 9.0), (11, 9.0)] + [(s, 0.5) for s in range(12, 20)]
    )
    assert (
        judge({"train/loss/prediction": [*loss, *((s, 9.0) for s in range(20, 24))]}).since_step
        == 20
    )


def test_negative_total_loss_is_not_judged_by_ratios() -> None:
    assert judge({"train/loss/total": [(s, 1.0 - s) for s in range(30)]}).status == "inconclusive"


def test_tiny_loss_may_rise_back_to_its_start() -> None:
    loss = (
        [(s, 0.8) for s in range(5)]
        + [(s, 0.001) for s in range(5, 15)]
        + [(s, 0.5) for s in range(15, 20)]
    )
    assert judge({"train/loss/prediction": loss}).status == "inconclusive"


def test_worst_tap_decides_and_every_tap_has_a_status() -> None:
    def tap(name: str, rank: float) -> dict[str, list[tuple[int, float]]]:
        values = {"effective_rank": rank, "feature_std_l2": 0.4, "n": 500.0, "d": 64.0}
        return {f"val/{name}/{k}": [(100, v)] for k, v in values.items()}

    verdict = judge(tap("z", 20.0) | tap("z_agg", 1.2))
    assert (verdict.status, verdict.tap, verdict.since_step) == (
        "dimensional_collapse",
        "z_agg",
        100,
    )
    assert verdict.per_tap == {"z": "healthy", "z_agg": "dimensional_collapse"}
    assert verdict.evidence["val/z_agg/effective_rank"] == 1.2


@pytest.mark.parametrize(
    ("start", "now", "status"),
    [
        # A run that was missed once: a shared target at a class probe of 0.26.
        (2.1, 1.23, "dimensional_collapse"),
        (2.1, 1.9, "low_rank"),
        (1.4, 1.3, "low_rank"),
        (7.5, 1.9, "dimensional_collapse"),
        (7.5, 7.0, "healthy"),
    ],
)
def test_tap_with_low_start_fails_only_if_its_rank_fell(
    start: float, now: float, status: str
) -> None:
    tap = {
        "effective_rank": now,
        "feature_std_l2": 0.17,
        "mean_pairwise_cosine": 0.96,
        "n": 1000.0,
        "d": 128.0,
    }
    assert (
        judge_tap(tap, {"effective_rank": start}, Thresholds(), skill_fell=False).status == status
    )
