import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from jepa_lab.report.comparison.statistics import (
    EXACT_UP_TO,
    PairedDifference,
    accuracy_sampling_sd,
    bootstrap_interval,
    detectable_difference,
    holm,
    mean_interval,
    non_inferior,
    paired_difference,
    seed_and_sample,
)


def arm(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def random_arms(n: int, seed: int = 0) -> tuple[dict[int, float], dict[int, float]]:
    rng = np.random.default_rng(seed)
    return arm(*rng.normal(0.8, 0.05, n)), arm(*rng.normal(0.75, 0.05, n))


def difference(*values: float) -> PairedDifference:
    found = paired_difference(arm(*values), arm(*[0.0] * len(values)))
    assert found is not None
    return found


# the difference and its interval


@pytest.mark.parametrize("n", [2, 5, 12])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_interval_is_that_of_scipys_paired_t_test(n: int, confidence: float) -> None:
    treatment, control = random_arms(n)
    found = paired_difference(treatment, control, confidence)
    assert found is not None
    expected = stats.ttest_rel(
        list(treatment.values()), list(control.values())
    ).confidence_interval(confidence)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.mean == pytest.approx((expected.low + expected.high) / 2)
    assert (found.n, found.confidence) == (n, confidence)


def test_seeds_are_paired_by_number_and_not_by_position() -> None:
    found = paired_difference({2: 0.5, 0: 0.7, 1: 0.9}, {0: 0.6, 1: 0.8, 2: 0.4})
    assert found is not None
    assert (found.mean, found.sd) == (pytest.approx(0.1), pytest.approx(0.0, abs=1e-12))


def test_unpaired_seeds_and_seeds_that_are_not_finite_are_left_out_and_counted() -> None:
    treatment = {0: 0.5, 1: 0.7, 2: math.nan, 3: 0.9, 4: 0.3, 5: math.inf}
    control = {0: 0.4, 1: 0.5, 2: 0.5, 3: math.nan, 7: 0.1, 8: 0.1, 5: 0.2}
    found = paired_difference(treatment, control)
    assert found is not None
    assert (found.n, found.left_out, found.unpaired) == (2, 3, 3)
    assert (found.mean, found.p) == (pytest.approx(0.15), 0.5)


@pytest.mark.parametrize("control", [{}, {0: 0.5}, {7: 0.1, 8: 0.2}, {0: 0.5, 1: math.nan}])
def test_fewer_than_two_shared_seeds_have_no_difference(control: dict[int, float]) -> None:
    assert paired_difference(arm(0.5, 0.6, 0.7), control) is None


@pytest.mark.parametrize("n", [3, EXACT_UP_TO + 2])
def test_swapping_the_arms_changes_only_the_sign(n: int) -> None:
    treatment, control = random_arms(n)
    there, back = paired_difference(treatment, control), paired_difference(control, treatment)
    assert there is not None
    assert back is not None
    swapped = (-back.mean, -back.high, -back.low)
    assert (there.mean, there.low, there.high) == pytest.approx(swapped)
    assert (there.sd, there.p, there.detectable) == pytest.approx(
        (back.sd, back.p, back.detectable)
    )


def test_shifting_both_arms_changes_nothing() -> None:
    treatment, control = random_arms(6)
    plain = paired_difference(treatment, control)
    moved = [{seed: value + 3 for seed, value in one.items()} for one in (treatment, control)]
    shifted = paired_difference(moved[0], moved[1])
    assert plain is not None
    assert shifted is not None
    assert vars(shifted) == pytest.approx(vars(plain))


def test_equal_differences_have_no_width_and_equal_arms_have_p_1() -> None:
    found = difference(0.25, 0.25, 0.25)
    assert (found.sd, found.low, found.high, found.detectable, found.p) == (0, 0.25, 0.25, 0, 0.25)
    assert (difference(0, 0, 0).p, difference(0, 0, 0).mean) == (1, 0)


# the sign-flip test


@pytest.mark.parametrize(
    "values", [(3.0, 1.0, -1.0), (1.0, 2.0, 4.0), (-5.0, 1.0, 2.0), (1.0, -1.0, 0.0)]
)
def test_p_of_three_seeds_is_the_share_of_the_eight_sign_patterns_as_extreme(
    values: tuple[float, ...],
) -> None:
    a, b, c = values
    sums = [
        a + b + c,
        a + b - c,
        a - b + c,
        a - b - c,
        -a + b + c,
        -a + b - c,
        -a - b + c,
        -a - b - c,
    ]
    found = difference(*values)
    assert found.p == sum(abs(one) >= abs(sums[0]) for one in sums) / 8
    assert found.p_floor == 0.25


@pytest.mark.parametrize("n", [2, 5, 10])
def test_differences_of_one_sign_have_the_smallest_p(n: int) -> None:
    found = difference(*(1.0 + 0.1 * i for i in range(n)))
    assert found.p == found.p_floor == 2 / 2**n


def test_p_is_exact_up_to_sixteen_seeds() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, EXACT_UP_TO)
    signs = np.array(list(itertools.product([1, -1], repeat=EXACT_UP_TO)))
    expected = np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-12)
    assert difference(*values).p == expected


def test_p_of_more_than_sixteen_seeds_is_a_reproducible_estimate() -> None:
    values = np.random.default_rng(0).normal(0.5, 1, EXACT_UP_TO + 1)
    found = difference(*values)
    signs = np.array(list(itertools.product([1.0, -1.0], repeat=EXACT_UP_TO + 1)))
    expected = np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-12)
    assert found.p == pytest.approx(expected, abs=4 * math.sqrt(expected / 1e5))
    assert found.p == difference(*values).p
    assert found.p_floor == 2 / 2**17


def test_values_that_differ_by_float32_rounding_are_ties() -> None:
    control = arm(0.8, 0.7, 0.5)
    grid = {
        seed: value + step / 360
        for (seed, value), step in zip(control.items(), (3, 1, -1), strict=True)
    }
    single = [
        {seed: float(np.float32(value)) for seed, value in one.items()} for one in (grid, control)
    ]
    rounded = paired_difference(single[0], single[1])
    assert rounded is not None
    assert rounded.p == difference(3.0, 1.0, -1.0).p == 0.75


# detectable differences


def integrated_power(true: float, sd: float, n: int, confidence: float) -> float:
    """Returns the power of the two-sided t test: the power of a normal test at each sample sd,
    integrated over the distribution of that sd."""
    critical, df, shift = stats.t.ppf((1 + confidence) / 2, n - 1), n - 1, true * math.sqrt(n) / sd

    def at(chi: float) -> float:
        limit = critical * chi / math.sqrt(df)
        return stats.chi.pdf(chi, df) * (
            stats.norm.sf(limit - shift) + stats.norm.cdf(-limit - shift)
        )

    return integrate.quad(at, 0, math.inf, limit=500)[0]


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_power_at_the_detectable_difference_is_80_percent(n: int, confidence: float) -> None:
    detectable = detectable_difference(0.03, n, confidence)
    assert integrated_power(detectable, 0.03, n, confidence) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("n", [3, 8])
def test_the_detectable_difference_is_detected_in_eight_of_ten_experiments(n: int) -> None:
    true = detectable_difference(0.5, n)
    draws = np.random.default_rng(0).normal(true, 0.5, (20_000, n))
    assert np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05) == pytest.approx(
        0.8, abs=0.012
    )


def test_the_detectable_difference_scales_with_sd_and_falls_with_n() -> None:
    assert detectable_difference(0.2, 5) == pytest.approx(10 * detectable_difference(0.02, 5))
    found = [detectable_difference(0.02, n) for n in range(2, 12)]
    assert found == sorted(found, reverse=True)
    assert difference(0.1, 0.2, 0.4).detectable == detectable_difference(
        difference(0.1, 0.2, 0.4).sd, 3
    )


def test_nothing_is_detectable_if_the_sd_is_unknown() -> None:
    assert detectable_difference(0.1, 1) == detectable_difference(math.nan, 5) == math.inf
    assert detectable_difference(0.0, 5) == 0
    with pytest.raises(ValueError, match=r"power .* 0\.01"):
        detectable_difference(0.1, 5, power=0.01)


# Holm


def test_holm_multiplies_by_the_remaining_tests_and_never_decreases() -> None:
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(adjusted) == ["a", "b", "c", "d"]


def test_holm_of_one_p_of_large_p_and_of_no_p() -> None:
    assert holm({"a": 0.04}) == {"a": 0.04}
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
    with pytest.raises(ValueError, match="nan"):
        holm({"a": math.nan})


# non-inferiority


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.01, 0.0, -0.01, 0.0), "non-inferior"),
        ((-0.06, -0.05, -0.04, -0.05), "inferior"),
        ((-0.03, 0.01, -0.02, 0.0), "inconclusive"),
        ((0.0, 0.0, 0.0, 0.0), "non-inferior"),
        ((-0.25, -0.25), "inferior"),
    ],
)
def test_non_inferiority_has_three_answers(values: tuple[float, ...], verdict: str) -> None:
    assert non_inferior(difference(*values), 0.02) == verdict


def test_non_inferiority_changes_at_the_one_sided_95_percent_bound() -> None:
    values = (-0.03, 0.01, -0.02, 0.0, 0.015)
    lower = stats.ttest_1samp(values, 0, alternative="greater").confidence_interval(0.95).low
    assert non_inferior(difference(*values), -lower + 1e-9) == "non-inferior"
    assert non_inferior(difference(*values), -lower - 1e-9) == "inconclusive"


def test_without_spread_a_difference_on_the_margin_is_inconclusive() -> None:
    assert non_inferior(difference(-0.25, -0.25, -0.25), 0.25) == "inconclusive"
    with pytest.raises(ValueError, match=r"margin .* -0\.1"):
        non_inferior(difference(0.1, 0.2), -0.1)


# one arm


def test_the_mean_has_scipys_t_interval() -> None:
    values = [0.5, 0.75, 0.625, 0.9]
    found = mean_interval([*values, math.nan], 0.9)
    low, high = stats.t.interval(0.9, 3, np.mean(values), stats.sem(values))
    assert (found.mean, found.sd) == (
        pytest.approx(np.mean(values)),
        pytest.approx(np.std(values, ddof=1)),
    )
    assert found.half_width == pytest.approx((high - low) / 2)
    assert (found.n, found.left_out) == (4, 1)


def test_one_value_has_no_interval_and_no_value_has_no_mean() -> None:
    one, none = mean_interval([0.5]), mean_interval([math.nan])
    assert (one.mean, one.sd, one.half_width, one.n) == (0.5, None, None, 1)
    assert (none.mean, none.n, none.left_out) == (None, 0, 1)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_a_confidence_outside_0_and_1_is_an_error(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        mean_interval([0.1, 0.2], confidence)


# seed noise and sample noise


def test_the_sampling_sd_of_an_accuracy_is_binomial() -> None:
    assert accuracy_sampling_sd(0.5, 100) == pytest.approx(0.05)
    assert accuracy_sampling_sd(0.8, 1000) == pytest.approx(stats.binom(1000, 0.8).std() / 1000)
    assert accuracy_sampling_sd(1.0, 10) == 0
    for accuracy, n in ((1.1, 10), (math.nan, 10), (0.5, 0)):
        with pytest.raises(ValueError, match="accuracy"):
            accuracy_sampling_sd(accuracy, n)


def test_variances_of_seed_and_sample_add_up() -> None:
    found = seed_and_sample([0.4, 0.6], 100)
    assert found.sd_total == pytest.approx(0.2 / math.sqrt(2))
    assert found.sd_sampling == pytest.approx(math.sqrt(0.24 / 100))
    assert found.sd_seed == pytest.approx(math.sqrt(0.02 - 0.0024))
    assert seed_and_sample([0.5, 0.5, 0.5], 100).sd_seed == 0
    with pytest.raises(ValueError, match="2 values"):
        seed_and_sample([0.5], 100)


def test_the_seed_sd_is_recovered_if_each_seed_has_its_own_test_images() -> None:
    rng = np.random.default_rng(0)
    accuracies = rng.binomial(500, rng.normal(0.8, 0.03, 4000)) / 500
    assert seed_and_sample(list(accuracies), 500).sd_seed == pytest.approx(0.03, rel=0.05)


def test_with_shared_test_images_the_seed_sd_is_between_sd_seed_and_sd_total() -> None:
    rng = np.random.default_rng(0)
    n, between = 500, []
    # Each iteration has its own test set. Half of the answers depend on the image, half on chance.
    for _ in range(800):
        easy, seeds = rng.uniform(size=n), np.clip(rng.normal(0.8, 0.03, 20), 0, 1)
        own = rng.uniform(size=(20, n)) < 0.5
        right = np.where(own, rng.uniform(size=(20, n)), easy) < seeds[:, None]
        found = seed_and_sample(list(right.mean(axis=1)), n)
        between.append((found.sd_total**2, found.sd_total**2 - found.sd_sampling**2))
    total, seed = np.mean(between, axis=0)
    assert seed < 0.03**2 < total
    # two answers agree by a common draw with probability 1/4: rho = 0.25
    assert total == pytest.approx(0.03**2 + 0.75 * (0.8 * 0.2 - 0.03**2) / n, rel=0.03)


# bootstrap intervals of differences


def pairs(*differences: float, base: float = 0.5) -> tuple[dict[int, float], dict[int, float]]:
    control = {seed: base + 0.01 * seed for seed in range(len(differences))}
    return {seed: control[seed] + d for seed, d in enumerate(differences)}, control


def test_with_three_seeds_the_bootstrap_interval_is_the_range_of_the_differences() -> None:
    assert bootstrap_interval(*pairs(0.1, 0.4, 0.2)) == pytest.approx((0.1, 0.4))


def test_the_bootstrap_interval_of_many_seeds_is_close_to_the_t_interval() -> None:
    differences = np.random.default_rng(1).normal(0.3, 0.1, size=400)
    mean, _, half, _, _ = dataclasses.astuple(mean_interval(differences))
    assert bootstrap_interval(*pairs(*differences)) == pytest.approx(
        (mean - half, mean + half), abs=0.1 * half
    )


def test_the_bootstrap_covers_the_true_difference_at_about_its_confidence() -> None:
    draws = np.random.default_rng(2).normal(size=(400, 8))
    intervals = [bootstrap_interval(*pairs(*row), resamples=999) for row in draws]
    covered = sum(low <= 0 <= high for low, high in intervals)  # type: ignore[misc]
    assert 0.90 <= covered / len(draws) <= 0.985  # the plain percentile interval covers 0.88


def test_the_bootstrap_interval_shifts_and_scales_with_the_differences() -> None:
    first = bootstrap_interval(*pairs(0.1, 0.4, 0.2, 0.3, 0.9))
    assert first is not None
    assert bootstrap_interval(*pairs(0.1, 0.4, 0.2, 0.3, 0.9)) == first
    assert bootstrap_interval(*pairs(1.1, 1.4, 1.2, 1.3, 1.9)) == pytest.approx(
        [x + 1 for x in first]
    )
    treatment, control = pairs(0.1, 0.4, 0.2, 0.3, 0.9)
    assert bootstrap_interval(control, treatment) == pytest.approx([-first[1], -first[0]], abs=0.01)


def test_the_bootstrap_interval_of_equal_differences_has_no_width() -> None:
    low, high = bootstrap_interval({0: 3.0, 1: 4.0, 2: 5.0}, {0: 1.0, 1: 2.0, 2: 3.0}) or (0.0, 0.0)
    assert (low, high) == (2.0, 2.0)
    assert bootstrap_interval({0: 1.0, 1: math.nan, 2: 1.0}, {0: 0.0, 1: 0.0, 3: 0.0}) is None


def test_unpaired_seeds_and_seeds_that_are_not_finite_are_not_resampled() -> None:
    treatment, control = pairs(0.1, 0.4, 0.2)
    more = {**treatment, 7: 9.0, 8: math.inf}
    assert bootstrap_interval(more, {**control, 8: 0.0, 9: 1.0}) == bootstrap_interval(
        treatment, control
    )
