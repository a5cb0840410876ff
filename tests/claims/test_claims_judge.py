"""The rules that judge a paired difference, on differences with intervals in closed form."""

from __future__ import annotations

import math

import pytest

from jepa_lab.claims.judge import FEWEST, WORDS, Judged, after_holm, judge

# The t interval of 4 seeds is +- 3.1824 (95 %) and 2.3534 (90 %) standard errors. The sd of these
# offsets is exactly 1.
OFFSETS = [-math.sqrt(1.5), 0.0, 0.0, math.sqrt(1.5)]
T95, T90, ERROR = 3.182446305284263, 2.353363434801823, 0.5


def around(mean: float) -> dict[int, float]:
    """Returns four differences with this mean and a standard error of 1/2."""
    return {seed: mean + offset for seed, offset in enumerate(OFFSETS)}


def judged(mean: float, test: str, margin: float = 0.0, direction: str = "above") -> Judged:
    found = judge(around(mean), dict.fromkeys(range(4), 0.0), test, direction, margin)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("margin", "direction"), [(0.0, "above"), (0.3, "above"), (0.0, "below"), (0.3, "below")]
)
def test_a_difference_is_judged_by_its_interval_and_the_margin(
    margin: float, direction: str
) -> None:
    sign = 1 if direction == "above" else -1
    half = T95 * ERROR
    for distance, word in (
        (half + 1e-6, "confirmed"),
        (half - 1e-6, "not shown"),
        (-half + 1e-6, "not shown"),
        (-half - 1e-6, "refuted"),
    ):
        assert judged(sign * (margin + distance), "difference", margin, direction).word == word


def test_p_of_a_difference_is_that_of_a_two_sided_t_test_at_the_margin() -> None:
    assert judged(0.3 + T95 * ERROR, "difference", 0.3).p == pytest.approx(0.05, abs=1e-9)
    assert judged(0.3 - T95 * ERROR, "difference", 0.3).p == pytest.approx(0.05, abs=1e-9)
    assert judged(0.3, "difference", 0.3).p == pytest.approx(1.0)


@pytest.mark.parametrize("direction", ["above", "below"])
def test_non_inferiority_is_a_one_sided_test_at_minus_the_margin(direction: str) -> None:
    sign, half = (1 if direction == "above" else -1), T90 * ERROR
    for d, word in (
        (-0.2 + half + 1e-6, "confirmed"),
        (-0.2 + half - 1e-6, "not shown"),
        (-0.2 - half + 1e-6, "not shown"),
        (-0.2 - half - 1e-6, "refuted"),
    ):
        assert judged(sign * d, "non_inferiority", 0.2, direction).word == word
    assert judged(sign * (-0.2 + half), "non_inferiority", 0.2, direction).p == pytest.approx(
        0.05, abs=1e-9
    )


def test_equivalence_is_judged_by_an_interval_inside_or_outside_the_margins() -> None:
    half = T90 * ERROR
    assert judged(0.0, "equivalence", half + 1e-6).word == "confirmed"
    assert judged(0.0, "equivalence", half - 1e-6).word == "not shown"
    assert judged(0.5, "equivalence", half + 0.5 + 1e-6).word == "confirmed"
    for sign in (1, -1):
        assert judged(sign * (2 + half + 1e-6), "equivalence", 2.0).word == "refuted"
        assert judged(sign * (2 + half - 1e-6), "equivalence", 2.0).word == "not shown"
    assert judged(0.0, "equivalence", half).p == pytest.approx(0.05, abs=1e-9)
    assert judged(2 + half, "equivalence", 2.0).p == pytest.approx(0.05, abs=1e-9)


def test_swapping_treatment_and_control_is_the_same_as_the_other_direction() -> None:
    zero = dict.fromkeys(range(4), 0.0)
    for mean in (-3.0, -0.4, 0.7, 3.0):
        above = judge(around(mean), zero, "difference", "above", 0.1)
        below = judge(zero, around(mean), "difference", "below", 0.1)
        assert above is not None
        assert below is not None
        assert (above.word, above.p) == (below.word, pytest.approx(below.p))
        assert above.difference.mean == pytest.approx(-below.difference.mean)


def test_the_reported_interval_has_the_confidence_of_the_rule() -> None:
    for test, t in (("difference", T95), ("non_inferiority", T90), ("equivalence", T90)):
        d = judged(1.0, test, 0.1).difference
        assert (d.low, d.high) == (pytest.approx(1 - t * ERROR), pytest.approx(1 + t * ERROR))


def test_a_t_interval_alone_confirms_nothing_if_seeds_differ_in_sign() -> None:
    # 0 is far outside the t interval, but only five of six seeds have the same sign
    values = dict(enumerate([1.9, 2.0, -0.0001, 2.2, 2.2, 2.0]))
    found = judge(values, dict.fromkeys(values, 0.0), "difference", "above", 0.0)
    assert found is not None
    assert found.difference.low > 0
    assert found.difference.p > 0.05
    assert (found.word, found.p) == ("not shown", found.difference.p)


def test_the_smallest_possible_sign_flip_p_of_few_seeds_blocks_no_verdict() -> None:
    found = judge(
        {0: 1.0, 1: 1.1, 2: 0.9}, dict.fromkeys(range(3), 0.0), "difference", "above", 0.0
    )
    assert found is not None
    assert found.difference.p == found.difference.p_floor == 0.25
    assert found.word == "confirmed"


def test_equal_differences_have_the_smallest_p_of_the_sign_flip_test() -> None:
    same = dict.fromkeys(range(4), 1.0)
    zero = dict.fromkeys(range(4), 0.0)
    words = [judge(same, zero, "difference", "above", m) for m in (0.5, 1.0, 2.0)]
    assert [(w.word, w.p) for w in words if w] == [
        ("confirmed", 2 / 2**4),
        ("not shown", 1.0),
        ("refuted", 2 / 2**4),
    ]


def test_differences_that_vary_by_rounding_have_no_spread() -> None:
    control = {0: 0.1, 1: 0.3, 2: 0.7, 3: 1.9}
    arm = {seed: value + 0.1 for seed, value in control.items()}
    assert len({arm[seed] - control[seed] for seed in control}) > 1
    for margin, word in ((0.05, "confirmed"), (0.2, "refuted")):
        found = judge(arm, control, "difference", "above", margin)
        assert found is not None
        assert (found.word, found.p) == (word, 2 / 2**4)
        assert (found.difference.mean, found.difference.sd) == (pytest.approx(0.1), 0.0)


def test_fewer_than_three_finite_pairs_are_not_judged() -> None:
    zero = dict.fromkeys(range(4), 0.0)
    assert FEWEST == 3
    assert judge({0: 1.0, 1: 2.0}, zero, "difference", "above", 0.0) is None
    assert judge({0: 1.0, 1: 2.0, 2: math.inf}, zero, "difference", "above", 0.0) is None


def test_holm_revokes_a_verdict_only_above_the_level() -> None:
    for word in WORDS[:2]:
        assert after_holm(word, 0.05) == word
        assert after_holm(word, 0.0500001) == "not shown"
