"""A small gallery with the right answer for each case. A later set of rules must keep these
answers."""

import math
from collections.abc import Callable

import pytest
import torch

from jepa_lab.config.statuses import STATUSES
from jepa_lab.diagnosis import Verdict, diagnose_features, judge

N, D = 500, 32


def power_law() -> torch.Tensor:
    return torch.randn(N, D) * torch.arange(1, D + 1).float().rsqrt()


def low_rank(r: int, noise: float = 0.0, mean: float = 0.0) -> torch.Tensor:
    return torch.randn(N, r) @ torch.randn(r, D) + noise * torch.randn(N, D) + mean


def clusters() -> torch.Tensor:
    return (torch.arange(N) % 2).float()[:, None] * torch.randn(1, D) + torch.randn(1, D)


GALLERY: list[tuple[str, Callable[[], torch.Tensor], str]] = [
    ("isotropic", lambda: torch.randn(N, D), "healthy"),
    ("power law", power_law, "healthy"),
    ("a large mean", lambda: torch.randn(N, D) + 3, "healthy"),
    ("tiny scale", lambda: torch.randn(N, D) * 1e-6, "healthy"),
    ("huge scale", lambda: torch.randn(N, D) * 1e6, "healthy"),
    ("rank 8 of 32", lambda: low_rank(8, 0.05), "low_rank"),
    ("after a ReLU", lambda: torch.randn(N, D).relu(), "healthy"),
    ("on the sphere", lambda: torch.nn.functional.normalize(torch.randn(N, D), dim=1), "healthy"),
    ("constant", lambda: torch.ones(N, D), "complete_collapse"),
    ("zero", lambda: torch.zeros(N, D), "complete_collapse"),
    (
        "constant with noise",
        lambda: torch.ones(N, D) + 1e-3 * torch.randn(N, D),
        "complete_collapse",
    ),
    (
        "one direction of any length",
        lambda: torch.rand(N, 1).add(0.1) * torch.randn(1, D),
        "complete_collapse",
    ),
    ("rank 1", lambda: low_rank(1), "dimensional_collapse"),
    ("rank 1 with noise", lambda: low_rank(1, 0.02), "dimensional_collapse"),
    ("rank 2", lambda: low_rank(2), "dimensional_collapse"),
    ("two points", clusters, "dimensional_collapse"),
    ("NaN", lambda: torch.full((N, D), math.nan), "diverged"),
    ("infinite", lambda: torch.full((N, D), math.inf), "diverged"),
    ("ten rows", lambda: torch.randn(10, D), "inconclusive"),
]


@pytest.mark.parametrize(("make", "status"), [g[1:] for g in GALLERY], ids=[g[0] for g in GALLERY])
def test_features_of_the_small_gallery_get_their_status(
    make: Callable[[], torch.Tensor], status: str
) -> None:
    verdict = diagnose_features(make(), reference=torch.randn(N, D))
    assert verdict.status == status, verdict.line()
    assert verdict.line().startswith(status)
    assert 0.0 <= verdict.confidence <= 1.0


def test_views_count_as_samples_and_other_shapes_raise() -> None:
    assert diagnose_features(torch.randn(100, 3, D)).status == "healthy"
    with pytest.raises(ValueError, match=r"\(5,\)"):
        diagnose_features(torch.zeros(5))


def history(
    ranks: list[float], spreads: list[float], skills: list[float] | None = None
) -> dict[str, list[tuple[int, float]]]:
    steps = [100 * (i + 1) for i in range(len(ranks))]
    out: dict[str, list[tuple[int, float]]] = {}
    for tap in ("z", "z_agg"):
        values = {
            "effective_rank": ranks,
            "feature_std_l2": spreads,
            "n": [500.0] * len(ranks),
            "d": [64.0] * len(ranks),
        }
        out |= {f"val/{tap}/{k}": list(zip(steps, v, strict=True)) for k, v in values.items()}
        out[f"reference/{tap}/effective_rank"] = [(0, 10.0)]
    out["train/loss/prediction"] = [(10 * i, 1.0 / (1 + i)) for i in range(30)]
    out["val/skill"] = list(zip(steps, skills or [0.5] * len(ranks), strict=True))
    return out


def test_run_with_growing_rank_is_healthy() -> None:
    verdict = judge(history([12, 15, 20], [0.3, 0.4, 0.5]))
    assert (verdict.status, verdict.per_tap) == ("healthy", {"z": "healthy", "z_agg": "healthy"})
    assert "20.0 (10.0 at start)" in verdict.line()


def test_collapse_is_dated_by_the_start_of_its_last_stretch() -> None:
    verdict = judge(history([12, 1.5, 12, 1.5, 1.4, 1.3], [0.3] * 6))
    assert (verdict.status, verdict.since_step, verdict.tap) == ("dimensional_collapse", 400, "z")
    assert verdict.next


def test_missing_spread_is_a_complete_collapse_at_any_rank() -> None:
    data = history([12, 30], [0.3, 0.001])

    assert judge(data).status == "complete_collapse"


def test_fallen_rank_is_a_collapse_only_if_the_skill_fell_too() -> None:
    assert judge(history([12, 4], [0.3, 0.3])).status == "low_rank"
    assert judge(history([12, 4], [0.3, 0.3], [0.6, 0.2])).status == "dimensional_collapse"


def test_divergence_is_dated_for_nan_and_for_a_growing_loss() -> None:
    data = history([12, 12], [0.3, 0.3])
    data["train/loss/rate"] = [(10, -3.0), (20, math.nan), (30, math.nan)]
    assert (judge(data).status, judge(data).since_step) == ("diverged", 20)
    data = history([12, 12], [0.3, 0.3])
    data["train/loss/prediction"] = [(i, 0.5 - 0.04 * i) for i in range(10)] + [
        (10 + i, 3.0 + i) for i in range(6)
    ]
    assert (judge(data).status, judge(data).since_step) == ("diverged", 10)


def test_missing_validation_or_few_samples_are_inconclusive() -> None:
    assert judge({}).status == "inconclusive"
    data = history([12, 12], [0.3, 0.3])
    for tap in ("z", "z_agg", "z_target"):
        data[f"val/{tap}/n"] = [(200, 8.0)]
    assert judge(data).status == "inconclusive"


def test_a_tap_of_few_samples_is_named_and_does_not_hide_the_others() -> None:
    data = history([12, 12], [0.3, 0.3])
    data["val/z/n"] = [(200, 8.0)]
    assert judge(data).status == "healthy"
    assert "z is not judged: 8 rows, 32 are needed" in judge(data).line()


def test_features_that_become_nan_are_a_divergence() -> None:
    assert judge(history([12, math.nan], [0.3, math.nan])).status == "diverged"


def test_verdict_as_dict_holds_all_fields_and_its_line() -> None:
    verdict = Verdict("healthy", reasons=("all well",), evidence={"val/z/rankme": 3.0})
    assert verdict.to_dict()["line"] == "healthy: all well"
    assert set(verdict.to_dict()) >= {
        "status",
        "tap",
        "since_step",
        "confidence",
        "reasons",
        "evidence",
        "next",
        "per_tap",
    }
    assert "healthy" in STATUSES
