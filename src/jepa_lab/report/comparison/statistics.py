"""What a few seeds can tell: paired differences, their tests and intervals, seed noise apart from
sample noise."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, norm, permutation_test, t

EXACT_UP_TO = 16  # seeds: 65,536 sign patterns
RESAMPLES = 99_999
# of the largest value: metrics come as float32, and what rounding parts is still a tie
TIES = 2.0**-21


@dataclass(frozen=True)
class PairedDifference:
    """treatment - control over the `n` seeds that both have.

    `low`, `high`: t interval at `confidence`. `p`: two-sided sign-flip test, which cannot go below
    `p_floor`. `detectable`: see `detectable_difference`. `left_out`: shared seeds not finite in
    either; `unpaired`: seeds of one.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    confidence: float
    p: float
    p_floor: float
    detectable: float
    left_out: int
    unpaired: int


@dataclass(frozen=True)
class MeanInterval:
    """mean ± half_width. None where the `n` values that are finite do not give it; `left_out`
    counts the others."""

    mean: float | None
    sd: float | None
    half_width: float | None
    n: int
    left_out: int


class SeedAndSample(NamedTuple):
    sd_total: float
    sd_sampling: float
    sd_seed: float


def paired_difference(
    treatment: Mapping[int, float], control: Mapping[int, float], confidence: float = 0.95
) -> PairedDifference | None:
    """The difference over shared seeds, {seed: value} each; None if fewer than 2 are finite in
    both.

    A seed that diverged in one arm is left out of both: read `left_out` beside the mean, which says
    nothing of it. Equal differences have sd 0, an interval without width and `detectable` 0: too
    few seeds, rather than certainty.
    """
    shared = sorted(treatment.keys() & control.keys())
    finite = [seed for seed in shared if _finite(treatment[seed], control[seed])]
    if len(finite) < 2:
        return None
    differences = [treatment[seed] - control[seed] for seed in finite]
    found = mean_interval(differences, confidence)
    # n >= 2: not None
    n, mean, sd, half_width = (found.n, found.mean or 0.0, found.sd or 0.0, found.half_width or 0.0)
    largest = max(abs(arm[seed]) for arm in (treatment, control) for seed in finite)
    p, p_floor = _sign_flip(differences, TIES * largest)
    return PairedDifference(
        n=n,
        mean=mean,
        sd=sd,
        low=mean - half_width,
        high=mean + half_width,
        confidence=confidence,
        p=p,
        p_floor=p_floor,
        detectable=detectable_difference(sd, n, confidence),
        left_out=len(shared) - n,
        unpaired=len(treatment.keys() ^ control.keys()),
    )


def bootstrap_interval(
    treatment: Mapping[int, float],
    control: Mapping[int, float],
    confidence: float = 0.95,
    resamples: int = 9_999,
) -> tuple[float, float] | None:
    """(low, high) of the mean of treatment - control by resampling the seeds that are finite in
    both; None below 2.

    The expanded percentile interval (Hesterberg, The American Statistician 69, 2015, section 4.4):
    the plain one is too narrow by sqrt((n - 1) / n) and by the normal in place of t. It never
    leaves the range of the differences, so that with 3 seeds it is that range. The same numbers
    give the same interval: the draws are fixed.
    """
    seeds = sorted(
        seed
        for seed in treatment.keys() & control.keys()
        if _finite(treatment[seed], control[seed])
    )
    n = len(seeds)
    if n < 2:
        return None
    differences = np.asarray([treatment[seed] - control[seed] for seed in seeds], dtype=np.float64)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=resamples)
    tail = float(norm.cdf(-math.sqrt(n / (n - 1)) * _critical(confidence, n)))
    low, high = np.quantile(weights @ differences / n, [tail, 1 - tail])
    # the dot product rounds: equal differences have an interval without width
    least, most = float(differences.min()), float(differences.max())
    return min(max(float(low), least), most), min(max(float(high), least), most)


def mean_interval(values: Iterable[float], confidence: float = 0.95) -> MeanInterval:
    """Mean, sample sd and half-width of the t interval of the finite `values`; sd and half-width
    need two of them."""
    everything = list(values)
    found = [value for value in everything if math.isfinite(value)]
    n, left_out = len(found), len(everything) - len(found)
    if n == 0:
        return MeanInterval(None, None, None, n, left_out)
    mean = math.fsum(found) / n
    if n == 1:
        return MeanInterval(mean, None, None, n, left_out)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in found) / (n - 1))
    return MeanInterval(mean, sd, _critical(confidence, n) * sd / math.sqrt(n), n, left_out)


def detectable_difference(sd: float, n: int, confidence: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference that a two-sided paired t test finds with `power`: exact, by the
    noncentral t.

    `sd` of the differences is taken for the true one; of 3 seeds it is easily wrong by a factor of
    2. inf where it is unknown (n < 2, or not finite), 0 where it is 0.
    """
    if not 1 - confidence < power < 1:
        raise ValueError(f"power must be between 1 - confidence and 1, got {power}")
    if n < 2 or not math.isfinite(sd):
        return math.inf

    critical, upper = _critical(confidence, n), 1.0
    while _power(upper, n, critical) < power:
        upper *= 2
    ncp = brentq(lambda ncp: _power(ncp, n, critical) - power, 0.0, upper, xtol=1e-12)
    return float(ncp) * sd / math.sqrt(n)


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p values, in the order of `ps`: the family-wise error stays at the level (Holm,
    1979)."""
    if not all(0 <= p <= 1 for p in ps.values()):
        raise ValueError(f"p values must be in [0, 1], got {dict(ps)}")
    adjusted, least = dict(ps), 0.0
    for rank, name in enumerate(sorted(ps, key=lambda name: ps[name])):
        least = adjusted[name] = max(least, min(1.0, (len(ps) - rank) * ps[name]))
    return adjusted


def non_inferior(difference: PairedDifference, margin: float) -> str:
    """Is "non-inferior" if the 90 % t interval lies above -margin, "inferior" if below, else
    "inconclusive".

    Higher is better. Each of the two answers is a one-sided test at 5 %. An end on -margin is
    inconclusive.
    """
    if not 0 <= margin < math.inf:
        raise ValueError(f"a margin must be finite and at least 0, got {margin}")
    half_width = _critical(0.9, difference.n) * difference.sd / math.sqrt(difference.n)
    if difference.mean - half_width > -margin:
        return "non-inferior"
    return "inferior" if difference.mean + half_width < -margin else "inconclusive"


def accuracy_sampling_sd(accuracy: float, n_test: int) -> float:
    """sqrt(a (1 - a) / n): of an accuracy in [0, 1] over draws of `n_test` independent images
    (images, not views)."""
    if not (0 <= accuracy <= 1 and n_test >= 1):
        raise ValueError(
            f"needs an accuracy in [0, 1] and n_test >= 1, got {accuracy} and {n_test}"
        )
    return math.sqrt(accuracy * (1 - accuracy) / n_test)


def seed_and_sample(values: Sequence[float], n_test: int) -> SeedAndSample:
    """sd over the seeds' accuracies `values`, of one test sample, and what seeds add: total² =
    sampling² + seed².

    `sd_seed`, 0 if the difference is negative, is of the accuracy on infinitely many images: right
    where each seed has test images of its own. With the same images for every seed the sampling
    errors correlate between seeds, by rho say (images hard for one are hard for all), and E total²
    = seed² + (1 - rho) sampling². So `sd_seed` takes off rho sampling² too much: on average it is
    too low and `sd_total` (right at rho = 1) too high, the truth is between. The part rho sampling²
    moves all seeds alike: no spread over seeds shows it, sd_total / sqrt(n) leaves it out of the
    mean's error, and a paired difference cancels what both arms share of it. Conclusions hold for
    these images.
    """
    if len(values) < 2:
        raise ValueError(f"needs 2 values or more, got {len(values)}")
    sampling = math.fsum(accuracy_sampling_sd(value, n_test) ** 2 for value in values) / len(values)
    sd_total = mean_interval(values).sd or 0.0  # known: two values, in [0, 1]
    return SeedAndSample(sd_total, math.sqrt(sampling), math.sqrt(max(0.0, sd_total**2 - sampling)))


def _finite(*values: float) -> bool:
    return all(map(math.isfinite, values))


def _critical(confidence: float, n: int) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")

    return float(t.ppf((1 + confidence) / 2, n - 1))


def _power(ncp: float, n: int, critical: float) -> float:
    # P(t < -critical) as an upper tail: nct.cdf is NaN in some far lower tails
    return float(nct.sf(critical, n - 1, ncp) + nct.sf(critical, n - 1, -ncp))


def _sign_flip(differences: Sequence[float], tie: float) -> tuple[float, float]:
    """p and the smallest p possible; means within `tie` of the one observed are as extreme as it.
    p and the smallest p possible; means within `tie` of the one observed are as extreme as it."""

    def mean(sample: Any, axis: int) -> Any:
        return np.mean(sample, axis=axis)

    n = len(differences)
    exact = n <= EXACT_UP_TO
    result = permutation_test(
        (np.asarray(differences),),
        mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**n if exact else RESAMPLES,
        batch=4096,
        rng=np.random.default_rng(0),
    )
    extreme = int(np.sum(np.abs(result.null_distribution) >= abs(result.statistic) - tie))
    if exact:
        return extreme / 2**n, 2 / 2**n
    return (extreme + 1) / (RESAMPLES + 1), max(2 / 2**n, 1 / (RESAMPLES + 1))
