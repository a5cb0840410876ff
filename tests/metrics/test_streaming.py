"""Moments of rows in batches are those of all rows, however they were cut, and take no more room
for more rows."""

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
def test_the_spectrum_does_not_depend_on_how_the_rows_were_cut(
    sizes: list[int], mean: float
) -> None:
    z = torch.randn(300, 12, dtype=torch.float64) * torch.arange(1, 13) + mean
    got, expected = streamed(z, sizes).spectrum(), Spectrum.of(z)
    assert close(got.centred, expected.centred)
    assert close(got.uncentred, expected.uncentred)
    assert close(got.mean, expected.mean)
    assert (got.n, got.d) == (300, 12)
    assert float(effective_rank(got)) == pytest.approx(float(effective_rank(z)), rel=1e-10)


def test_closed_form_of_three_points_in_two_batches() -> None:
    moments = streamed(torch.tensor([[0.0], [3.0], [6.0]]), [1, 2])
    assert (float(moments.mean), float(moments.scatter), float(moments.variance)) == (
        3.0,
        18.0,
        6.0,
    )


@pytest.mark.parametrize(("n", "d"), [(5, 40), (40, 40), (41, 40), (200, 40)])
def test_fewer_rows_than_dimensions_give_the_same_spectrum_too(n: int, d: int) -> None:
    z = torch.randn(n, d)
    spectrum = streamed(
        z, [2] + [3] * ((n - 2) // 3) + ([(n - 2) % 3] if (n - 2) % 3 else [])
    ).spectrum()
    assert len(spectrum.centred) == min(n - 1, d)
    assert close(spectrum.centred, Spectrum.of(z).centred)
    assert float(rankme(spectrum)) == pytest.approx(float(rankme(z)), rel=1e-9)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("sizes", [(100, 60), (3, 60), (100, 4), (3, 4)])
def test_merging_two_equals_seeing_all_and_leaves_the_second_alone(
    sizes: tuple[int, int], diagonal: bool
) -> None:
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


def test_merging_with_nothing_changes_nothing() -> None:
    full, empty = streamed(torch.randn(20, 3), [20]), Moments()
    before = full.scatter.clone()
    full.merge(Moments())
    empty.merge(full)
    assert torch.equal(full.scatter, before)
    assert close(empty.scatter, before)


def test_a_constant_in_any_batches_varies_not_at_all() -> None:
    moments = streamed(torch.full((50, 3), 1 / 3, dtype=torch.float64), [7] * 7 + [1])
    assert float(moments.scatter.abs().max()) == 0.0
    assert float(effective_rank(moments.spectrum())) == 1.0


def held(moments: Moments) -> int:
    tensors = [moments._mean, moments._scatter, *moments._rows]
    return sum(t.untyped_storage().nbytes() for t in tensors if t is not None)


def test_memory_is_that_of_the_covariance_however_many_rows_were_seen() -> None:
    moments = Moments()
    for _ in range(2):
        moments.update(torch.randn(50, 16))
    few = held(moments)
    for _ in range(50):
        moments.update(torch.randn(50, 16))
    assert held(moments) == few == 8 * (16 * 16 + 16)


def test_moments_refuse_what_they_cannot_take() -> None:
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


def test_the_monitors_statistics_are_those_of_one_call_and_do_not_see_the_batches() -> None:
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


def test_beyond_a_chunk_all_rows_count_and_few_are_held() -> None:
    z = torch.cat([torch.randn(CHUNK, 6), 3 * torch.randn(CHUNK, 6) + 1, torch.randn(77, 6)])
    statistics = CollapseStatistics()
    for rows in z.split(100):
        statistics.update(rows)
        assert sum(map(len, statistics._waiting)) < CHUNK
    assert (statistics.n, statistics.d) == (len(z), 6)
    got, expected = statistics.values(), collapse_metrics(z)
    # of the first chunk, which has another spread
    assert got.pop("uniformity") != expected.pop("uniformity")
    assert got == pytest.approx(expected, rel=1e-10, nan_ok=True)


def test_rows_that_are_not_finite_are_said_to_be_so() -> None:
    statistics = CollapseStatistics()
    statistics.update(torch.randn(CHUNK, 3))
    statistics.update(torch.full((2, 3), math.inf))
    assert math.isnan(statistics.values()["effective_rank"])
    assert not statistics.finite
    one = CollapseStatistics()
    one.update(torch.randn(1, 3))
    with pytest.raises(ValueError, match="at least 2 rows"):
        one.values()


def test_alpha_req_of_streamed_rows_is_that_of_all() -> None:
    z = torch.randn(500, 80) * torch.arange(1, 81).float().rsqrt()
    assert float(alpha_req(streamed(z, [100] * 5).spectrum())) == pytest.approx(
        float(alpha_req(z)), rel=1e-9
    )


@pytest.mark.parametrize("n", [5, 40])
def test_mean_and_variance_are_those_of_the_scatter_whether_rows_are_held_or_not(n: int) -> None:
    z = torch.randn(n, 12, dtype=torch.float64) + 3
    moments = streamed(z, [n])
    assert close(moments.variance, moments.scatter.diagonal() / n)
    assert close(moments.variance, z.var(dim=0, unbiased=False))
    assert close(moments.mean, z.mean(dim=0))
