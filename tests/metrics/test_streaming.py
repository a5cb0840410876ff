"""Moments of rows in batches equal those of all rows, in constant memory."""

import math

import pytest
import torch

from jepa_lab.metrics import Moments, Spectrum, alpha_req, collapse_metrics, effective_rank, rankme
from jepa_lab.metrics.collapse import CHUNK, CollapseStatistics


def streamed(z: torch.Tensor, sizes: list[int]) -> Moments:
    moments = Moments()
    for rows in z.split(sizes):
        moments.update(rows)
    return moments


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and float((a - b).abs().max()) <= 1e-10 * float(b.abs().max())


@pytest.mark.parametrize("mean", [0.0, 3.0, 1e4])
@pytest.mark.parametrize(
    "sizes", [[300], [1] * 300, [7] * 42 + [6], [1, 299], [150, 150], [290, 10]]
)
def test_the_spectrum_does_not_depend_on_the_batches(sizes: list[int], mean: float) -> None:
    z = torch.randn(300, 12, dtype=torch.float64) * torch.arange(1, 13) + mean
    got, expected = streamed(z, sizes).spectrum(), Spectrum.of(z)
    assert close(got.centred, expected.centred)
    assert close(got.uncentred, expected.uncentred)
    assert close(got.mean, expected.mean)
    assert (got.n, got.d) == (300, 12)
    assert float(effective_rank(got)) == pytest.approx(float(effective_rank(z)), rel=1e-10)


def test_three_points_in_two_batches_match_the_closed_form() -> None:
    moments = streamed(torch.tensor([[0.0], [3.0], [6.0]]), [1, 2])
    assert (float(moments.mean), float(moments.scatter), float(moments.variance)) == (
        3.0,
        18.0,
        6.0,
    )


@pytest.mark.parametrize(("n", "d"), [(5, 40), (40, 40), (41, 40), (200, 40)])
def test_few_rows_give_the_same_spectrum_as_one_batch(n: int, d: int) -> None:
    z = torch.randn(n, d)
    spectrum = streamed(
        z, [2] + [3] * ((n - 2) // 3) + ([(n - 2) % 3] if (n - 2) % 3 else [])
    ).spectrum()
    assert len(spectrum.centred) == min(n - 1, d)
    assert close(spectrum.centred, Spectrum.of(z).centred)
    assert float(rankme(spectrum)) == pytest.approx(float(rankme(z)), rel=1e-9)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("sizes", [(100, 60), (3, 60), (100, 4), (3, 4)])
def test_merged_moments_equal_those_of_all_rows(sizes: tuple[int, int], diagonal: bool) -> None:
    z = torch.randn(sum(sizes), 8) + 5
    one, two, whole = Moments(diagonal), Moments(diagonal), Moments(diagonal)
    one.update(z[: sizes[0]])
    two.update(z[sizes[0] :])
    whole.update(z)
    before = two.scatter.clone()
    one.merge(two)
    assert one.n == sum(sizes)
    assert close(one.scatter, whole.scatter)
    assert close(one.mean, whole.mean)
    assert torch.equal(two.scatter, before)
    one.update(z)
    assert torch.equal(two.scatter, before)


def test_merging_with_empty_moments_changes_nothing() -> None:
    full, empty = streamed(torch.randn(20, 3), [20]), Moments()
    before = full.scatter.clone()
    full.merge(Moments())
    empty.merge(full)
    assert torch.equal(full.scatter, before)
    assert close(empty.scatter, before)


def test_a_constant_has_no_variance_in_any_batches() -> None:
    moments = streamed(torch.full((50, 3), 1 / 3, dtype=torch.float64), [7] * 7 + [1])
    assert float(moments.scatter.abs().max()) == 0.0
    assert float(effective_rank(moments.spectrum())) == 1.0


def held(moments: Moments) -> int:
    tensors = [moments._mean, moments._scatter, *moments._rows]
    return sum(t.untyped_storage().nbytes() for t in tensors if t is not None)


def test_memory_does_not_grow_with_the_number_of_rows() -> None:
    moments = Moments()
    for _ in range(2):
        moments.update(torch.randn(50, 16))
    few = held(moments)
    for _ in range(50):
        moments.update(torch.randn(50, 16))
    assert held(moments) == few == 8 * (16 * 16 + 16)


def test_invalid_rows_and_merges_raise() -> None:
    moments = streamed(torch.randn(4, 3), [4])
    with pytest.raises(ValueError, match=r"of 3 dimensions as before, got \(2, 5\)"):
        moments.update(torch.randn(2, 5))
    with pytest.raises(ValueError, match="not finite"):
        moments.update(torch.full((1, 3), math.nan))
    with pytest.raises(ValueError, match=r"got 3 and diagonal 0"):
        moments.merge(Moments(diagonal=True))
    with pytest.raises(ValueError, match="two rows"):
        streamed(torch.randn(1, 3), [1]).spectrum()
    with pytest.raises(ValueError, match="no rows"):
        _ = Moments().mean


def test_collapse_statistics_do_not_depend_on_the_batches() -> None:
    z = torch.randn(CHUNK - 5, 40) * torch.arange(1, 41) + 2
    values = []
    for size in (64, 1000, CHUNK):
        statistics = CollapseStatistics()
        for rows in z.split(size):
            statistics.update(rows)
        values.append(statistics.values())
    assert values[0] == pytest.approx(collapse_metrics(z), rel=1e-12, nan_ok=True)
    assert values[0] == pytest.approx(values[1], rel=0, abs=0, nan_ok=True)
    assert values[1] == pytest.approx(values[2], rel=0, abs=0, nan_ok=True)


def test_collapse_statistics_use_all_rows_and_hold_less_than_a_chunk() -> None:
    z = torch.cat([torch.randn(CHUNK, 6), 3 * torch.randn(CHUNK, 6) + 1, torch.randn(77, 6)])
    statistics = CollapseStatistics()
    for rows in z.split(100):
        statistics.update(rows)
        assert sum(map(len, statistics._waiting)) < CHUNK
    assert (statistics.n, statistics.d) == (len(z), 6)
    got, expected = statistics.values(), collapse_metrics(z)
    # it uses the first chunk, which has another spread
    assert got.pop("uniformity") != expected.pop("uniformity")
    assert got == pytest.approx(expected, rel=1e-10, nan_ok=True)


def test_rows_that_are_not_finite_give_nan_and_too_few_rows_raise() -> None:
    statistics = CollapseStatistics()
    statistics.update(torch.randn(CHUNK, 3))
    statistics.update(torch.full((2, 3), math.inf))
    assert math.isnan(statistics.values()["effective_rank"])
    assert not statistics.finite
    one = CollapseStatistics()
    one.update(torch.randn(1, 3))
    with pytest.raises(ValueError, match="at least 2 rows"):
        one.values()


def test_alpha_req_of_streamed_rows_equals_that_of_all_rows() -> None:
    z = torch.randn(500, 80) * torch.arange(1, 81).float().rsqrt()
    assert float(alpha_req(streamed(z, [100] * 5).spectrum())) == pytest.approx(
        float(alpha_req(z)), rel=1e-9
    )


@pytest.mark.parametrize("n", [5, 40])
def test_mean_and_variance_agree_with_the_scatter_for_held_and_added_rows(n: int) -> None:
    z = torch.randn(n, 12, dtype=torch.float64) + 3
    moments = streamed(z, [n])
    assert close(moments.variance, moments.scatter.diagonal() / n)
    assert close(moments.variance, z.var(dim=0, unbiased=False))
    assert close(moments.mean, z.mean(dim=0))
