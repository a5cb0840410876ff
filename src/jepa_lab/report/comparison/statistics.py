"""Statistics over a few seeds: paired differences, tests and intervals, seed and sample noise."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, norm, permutation_test, t

EXACT_UP_TO = 16  # seeds: 65,536 sign patterns
RESAMPLES = 99_999
# relative to the largest value: metrics are float32, and values that differ by rounding are ties
TIES = 2.0**-21


@dataclass(frozen=True)
class PairedDifference:
    """The difference treatment - control over the `n` seeds that both have.

    `low` and `high` are the t interval at `confidence`. `p` is that of the two-sided sign-flip
    test, which cannot go below `p_floor`. `detectable` is the result of detectable_difference.
    `left_out` counts shared seeds that are not finite on both sides, `unpaired` the seeds of one
    side only.
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
    """The interval mean ± half_width of the `n` finite values. `left_out` counts the others.

    A field is None if there are too few finite values."""

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
    """Returns the difference of two {seed: value} over shared seeds.

    Returns None if fewer than 2 shared seeds are finite on both sides. A seed that diverged on one
    side is left out of both, so the mean must be read with `left_out`. Equal differences have sd 0,
    an interval without width and `detectable` 0. This means too few seeds, not certainty.
    """
    shared = sorted(treatment.keys() & control.keys())
    finite = [seed for seed in shared if _finite(treatment[seed], control[seed])]
    if len(finite) < 2:
        return None
    differences = [treatment[seed] - control[seed] for seed in finite]
    found = mean_interval(differences, confidence)
    # never None, since n >= 2
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
    """Returns the bootstrap interval (low, high) of the mean of treatment - control.

    It resamples the seeds that are finite on both sides. Returns None for fewer than 2. It is the
    expanded percentile interval (Hesterberg, The American Statistician 69, 2015, section 4.4). The
    plain percentile interval is too narrow: by the factor sqrt((n - 1) / n), and because it uses
    normal instead of t quantiles. The interval never leaves the range of the differences; with 3
    seeds it is that range. The draws are fixed, so equal numbers have equal intervals.
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
    # the dot product rounds, but equal differences need an interval without width
    least, most = float(differences.min()), float(differences.max())
    return min(max(float(low), least), most), min(max(float(high), least), most)


def mean_interval(values: Iterable[float], confidence: float = 0.95) -> MeanInterval:
    """Returns mean, sample sd and half-width of the t interval of the finite `values`.

    sd and half-width need two finite values."""
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
    """Returns the smallest true difference that a two-sided paired t test detects with `power`.

    The value is exact, by the noncentral t. `sd` of the differences is taken for the true sd, but
    an sd over 3 seeds is easily wrong by a factor of 2. Returns inf if sd is unknown (n < 2, or not
    finite), and 0 if sd is 0. Raises ValueError for power outside (1 - confidence, 1).
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
    """Returns p values adjusted by Holm (1979), which controls the family-wise error, in the order
    of `ps`. Raises ValueError for p outside [0, 1]."""
    if not all(0 <= p <= 1 for p in ps.values()):
        raise ValueError(f"p values must be in [0, 1], got {dict(ps)}")
    adjusted, least = dict(ps), 0.0
    for rank, name in enumerate(sorted(ps, key=lambda name: ps[name])):
        least = adjusted[name] = max(least, min(1.0, (len(ps) - rank) * ps[name]))
    return adjusted


def non_inferior(difference: PairedDifference, margin: float) -> str:
    """Returns "non-inferior" if the 90 % t interval lies above -margin, "inferior" if below, else
    "inconclusive".

    Higher is better. Each of the two answers is a one-sided test at 5 %. An end of the interval on
    -margin is inconclusive. Raises ValueError for a margin that is negative or not finite.
    """
    if not 0 <= margin < math.inf:
        raise ValueError(f"a margin must be finite and at least 0, got {margin}")
    half_width = _critical(0.9, difference.n) * difference.sd / math.sqrt(difference.n)
    if difference.mean - half_width > -margin:
        return "non-inferior"
    return "inferior" if difference.mean + half_width < -margin else "inconclusive"


def accuracy_sampling_sd(accuracy: float, n_test: int) -> float:
    """Returns sqrt(a (1 - a) / n), the sd of an accuracy in [0, 1] over draws of `n_test`
    independent images (images, not views). Raises ValueError for values out of range."""
    if not (0 <= accuracy <= 1 and n_test >= 1):
        raise ValueError(
            f"needs an accuracy in [0, 1] and n_test >= 1, got {accuracy} and {n_test}"
        )
    return math.sqrt(accuracy * (1 - accuracy) / n_test)


def seed_and_sample(values: Sequence[float], n_test: int) -> SeedAndSample:
    """Splits the sd of the accuracies `values` over seeds: total² = sampling² + seed².

    `sd_sampling` is the sd due to one test sample of `n_test` images. `sd_seed` is the sd of the
    accuracy on infinitely many images; it is 0 if seed² would be negative. The split is right if
    each seed has its own test images. With the same images for every seed, the sampling errors
    correlate between seeds with some rho, since hard images are hard for all, and E total² = seed²
    + (1 - rho) sampling². Then `sd_seed` subtracts rho sampling² too much. On average it is too low
    and `sd_total` (right at rho = 1) is too high; the truth lies between them. The part rho
    sampling² of the variance shifts all seeds alike. It does not appear in the spread over seeds,
    nor in sd_total / sqrt(n), the error of the mean. A paired difference cancels the part that both
    arms share. Conclusions therefore hold for these images only. Raises ValueError for fewer than 2
    values.
    """
    if len(values) < 2:
        raise ValueError(f"needs 2 values or more, got {len(values)}")
    sampling = math.fsum(accuracy_sampling_sd(value, n_test) ** 2 for value in values) / len(values)
    sd_total = mean_interval(values).sd or 0.0  # never None: at least two finite values
    return SeedAndSample(sd_total, math.sqrt(sampling), math.sqrt(max(0.0, sd_total**2 - sampling)))


def _finite(*values: float) -> bool:
    return all(map(math.isfinite, values))


def _critical(confidence: float, n: int) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")

    return float(t.ppf((1 + confidence) / 2, n - 1))


def _power(ncp: float, n: int, critical: float) -> float:
    # P(t < -critical) is computed as an upper tail, since nct.cdf is NaN in some far lower tails
    return float(nct.sf(critical, n - 1, ncp) + nct.sf(critical, n - 1, -ncp))


def _sign_flip(differences: Sequence[float], tie: float) -> tuple[float, float]:
    """Returns p and the smallest possible p. Means within `tie` of the observed mean count as
    equally extreme."""

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
