"""The probability of a failure from features of several views, and the verdict that it decides."""

from __future__ import annotations

import math

import pytest

from feature_histories import history
from jepa_lab.diagnosis import Thresholds, Verdict, judge
from jepa_lab.diagnosis.odds import Odds, odds_tap, quantities_of, weighed

T = Thresholds()
ALONE = Odds()


def curves(*correlations: float, rank: float = 12.0, start: float = 15.0) -> dict[str, list]:
    """Returns a history of z with a correlation of views for each validation, the last one for all
    further ones."""
    found = history(rank=rank)
    found["reference/z/effective_rank"] = [(0, start)]
    steps = [step for step, _ in found["val/z/n"]]
    given = [correlations[min(i, len(correlations) - 1)] for i in range(len(steps))]
    found["val/z/view_correlation"] = list(zip(steps, given, strict=True))
    found["reference/z/view_correlation"] = [(0, 0.4)]
    return found


def seen(
    *correlations: float, rank: float = 12.0, start: float = 15.0, odds: Odds | None = None
) -> Verdict:
    return judge(curves(*correlations, rank=rank, start=start), taps=("z",), odds=odds)


def probability(common: float, rank: float) -> float:
    found = quantities_of({"view_correlation": common, "effective_rank": rank})
    assert found is not None
    return Odds.shipped().probability(found)


def test_the_probability_is_the_logistic_of_the_weighted_sum() -> None:
    odds = Odds(1.0, (-2.0, 0.5, -0.25))
    found = quantities_of({"view_correlation": 0.9, "effective_rank": 8.0})
    assert found == pytest.approx((0.9, 1.0, 3.0))
    assert odds.probability(found) == pytest.approx(1 / (1 + math.exp(-(1 - 1.8 + 0.5 - 0.75))))


@pytest.mark.parametrize(
    ("common", "rank", "expected"),
    [(1.0, 1e6, (1.0, 3.0, 4.0)), (-0.3, 0.2, (0.0, 0.0, 0.0)), (0.5, 16.0, (0.5, 0.30103, 4.0))],
)
def test_quantities_are_bounded(common: float, rank: float, expected: tuple[float, ...]) -> None:
    found = quantities_of({"view_correlation": common, "effective_rank": rank})
    assert found == pytest.approx(expected)


def test_quantities_that_are_missing_or_not_finite_give_none() -> None:
    assert quantities_of({"effective_rank": 3.0}) is None
    assert quantities_of({"view_correlation": math.nan, "effective_rank": 3.0}) is None


def test_the_shipped_weights_call_each_side_as_it_was_meant() -> None:
    odds = Odds.shipped()
    common, equal, rank = odds.weights
    assert common < 0 < equal
    assert rank < 0


def test_features_that_no_rule_blames_fail_where_such_runs_had_failed() -> None:
    assert seen(0.2, odds=ALONE).status == "healthy"
    verdict = seen(0.9, 0.9, 0.1)
    assert (verdict.status, verdict.tap) == ("no_learning", "z")
    assert verdict.per_tap == {"z": "no_learning"}
    assert verdict.since_step == [s for s, _ in curves(0.3)["val/z/n"]][2]
    assert 0.9 <= verdict.confidence <= 1
    assert "of labelled runs with such features of z had failed" in verdict.line()


def test_a_low_rank_fails_as_a_collapse_where_such_runs_had_failed() -> None:
    assert seen(0.2, rank=5.0, odds=ALONE).status == "low_rank"
    assert seen(0.2, rank=5.0).status == "dimensional_collapse"


def test_a_failure_that_a_rule_found_needs_less_probability_than_one_that_none_found() -> None:
    four_of_five = Odds(math.log(4.0), (0.0, 0.0, 0.0))
    assert T.odds_agreed < four_of_five.probability((0, 0, 0)) < T.odds_failed
    assert seen(0.9, rank=12.0, odds=four_of_five).status == "inconclusive"
    assert seen(0.9, rank=1.95, start=20.0, odds=four_of_five).status == "dimensional_collapse"


def test_an_info_nce_loss_at_chance_is_no_failure_where_the_features_tell_images_apart() -> None:
    frozen = {
        "train/loss/info_nce": [(s, math.log(48.0)) for s in range(20)],
        "train/info_nce/negatives": [(0, 47.0)],
    }
    assert judge(curves(0.9) | frozen, taps=("z",), odds=ALONE).status == "no_learning"
    verdict = judge(curves(0.9) | frozen, taps=("z",))
    assert verdict.status == "healthy"
    assert "stays at chance" in verdict.line()
    assert judge(curves(0.1) | frozen, taps=("z",)).status == "no_learning"


def test_between_both_limits_the_verdict_is_unsure_without_a_number() -> None:
    assert T.odds_fine < probability(0.42, 8.0) < T.odds_failed
    verdict = seen(0.42, rank=8.0)
    assert (verdict.status, verdict.confidence, verdict.tap) == ("inconclusive", 0.0, None)
    assert "too close to call" in verdict.line()


def test_a_collapse_by_rank_is_a_low_rank_where_such_runs_had_worked() -> None:
    one_of_ten = Odds(-math.log(9.0), (0.0, 0.0, 0.0))
    alone = seen(0.9, rank=1.95, start=20.0, odds=ALONE)
    verdict = seen(0.9, rank=1.95, start=20.0, odds=one_of_ten)
    assert (alone.status, verdict.status) == ("dimensional_collapse", "low_rank")
    assert verdict.per_tap == {"z": "low_rank"}
    assert "of labelled runs with such features" in verdict.line()


def test_the_confidence_of_a_decided_verdict_is_the_probability() -> None:
    assert seen(0.9).confidence == pytest.approx(1 - probability(0.9, 12.0))
    assert seen(0.1).confidence == pytest.approx(probability(0.1, 12.0))


def test_facts_of_other_kinds_stay_whatever_the_probability() -> None:
    broken = curves(0.95) | {"train/loss/total": [(1, 1.0), (2, math.nan)]}
    assert judge(broken, taps=("z",)).status == "diverged"


def test_views_that_never_had_anything_in_common_have_no_probability() -> None:
    found = curves(0.01)
    assert weighed(found, ["z"], Odds.shipped(), T) is not None
    found["reference/z/view_correlation"] = [(0, 0.02)]
    assert weighed(found, ["z"], Odds.shipped(), T) is None
    del found["reference/z/view_correlation"]
    assert weighed(found, ["z"], Odds.shipped(), T) is None


def test_runs_of_our_own_studies_are_judged_by_the_rules_alone() -> None:
    config = {"optim": {"lr": 1e-3}}
    assert judge(curves(0.1), taps=("z",)).status == "no_learning"
    assert judge(curves(0.1), taps=("z",), config=config).status == "healthy"


def test_the_encoder_is_weighed_and_a_target_never() -> None:
    found = curves(0.5)
    for tap in ("projector", "z_target"):
        found[f"val/{tap}/view_correlation"] = found["val/z/view_correlation"]
    assert odds_tap(found, ["projector", "z", "z_target"]) == "z"
    assert odds_tap(found, ["z_target", "projector"]) == "projector"
    assert odds_tap(found, ["z_target"]) is None
