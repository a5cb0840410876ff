"""The arithmetic of a codebook: closed forms, invariances, degenerate cases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from jepa_lab.networks.vq.maths import (
    averaged,
    averaged_as_published,
    code_statistics,
    nearest,
    squared_distances,
    usage_deficit,
)
from jepa_lab.networks.vq.start import codes_at_centres, codes_at_tokens, spaced, uniform_codes


def rotation(d: int) -> Tensor:
    return torch.linalg.qr(torch.randn(d, d, dtype=torch.float64)).Q


def source() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def test_the_nearest_code_does_not_depend_on_rotation_or_shift() -> None:
    x, e = torch.randn(200, 6, dtype=torch.float64), torch.randn(20, 6, dtype=torch.float64)
    turned = rotation(6)
    assert torch.equal(nearest(x @ turned + 3.0, e @ turned + 3.0), nearest(x, e))
    order = torch.randperm(20)
    assert torch.equal(order[nearest(x, e[order])], nearest(x, e))


def test_the_first_of_equal_codes_is_nearest_and_no_distance_is_negative() -> None:
    x = 1e3 * torch.randn(50, 6)
    assert torch.equal(nearest(x, torch.ones(4, 6)), torch.zeros(50, dtype=torch.int64))
    assert float(squared_distances(x, x).min()) >= 0.0
    for function in (squared_distances, nearest):
        with pytest.raises(ValueError, match=r"\(50, 6\) and \(4, 5\)"):
            function(x, torch.ones(4, 5))


def test_code_statistics_count_and_sum_the_members_of_each_code() -> None:
    x, codes = torch.arange(8.0).reshape(4, 2), torch.tensor([2, 0, 2, 2])
    counts, sums = code_statistics(x, codes, 4)
    assert counts.tolist() == [1, 0, 3, 0]
    assert sums.tolist() == [[2, 3], [0, 0], [10, 13], [0, 0]]
    counts, sums = code_statistics(x[:0], codes[:0], 4)
    assert not counts.any()
    assert not sums.any()


def test_an_averaged_code_is_its_sum_over_its_count_and_rotates_with_tokens() -> None:
    e, n = (
        torch.randn(3, 5, dtype=torch.float64),
        torch.tensor([2.0, 1.0, 4.0], dtype=torch.float64),
    )
    new_n, new_m = (
        torch.tensor([3.0, 0.0, 1.0], dtype=torch.float64),
        torch.randn(3, 5, dtype=torch.float64),
    )
    new_m[1] = 0.0
    book, counts, sums = averaged(e, n, n[:, None] * e, new_n, new_m, 0.9)
    for k in (0, 2):
        assert torch.allclose(
            book[k], (0.9 * n[k] * e[k] + 0.1 * new_m[k]) / (0.9 * n[k] + 0.1 * new_n[k])
        )
    assert torch.equal(book[1], e[1])
    assert torch.allclose(sums, counts[:, None] * book)
    turned = rotation(5)
    other, _, _ = averaged(e @ turned, n, n[:, None] * e @ turned, new_n, new_m @ turned, 0.9)
    assert torch.allclose(other, book @ turned)


def test_only_the_published_average_depends_on_the_scale_of_the_counts() -> None:
    e, n = torch.randn(3, 5), torch.tensor([2.0, 1.0, 4.0])
    new_n, new_m, none = torch.tensor([3.0, 1.0, 1.0]), torch.randn(3, 5), torch.zeros(3)
    book = averaged(e, n, n[:, None] * e, new_n, new_m, 0.9)[0]
    tiny = averaged(e, 1e-20 * n, 1e-20 * n[:, None] * e, 1e-20 * new_n, 1e-20 * new_m, 0.9)[0]
    assert torch.allclose(tiny, book, rtol=1e-4)
    faded = averaged_as_published(1e-7 * n, 1e-7 * n[:, None] * e, none, torch.zeros(3, 5), 0.9)[0]
    assert not torch.allclose(faded, e, rtol=0.1)


def test_the_published_average_matches_its_formula() -> None:
    n, m = torch.tensor([0.0, 2.0, 1.0]), torch.randn(3, 4)
    new_n, new_m = torch.tensor([5.0, 0.0, 1.0]), torch.randn(3, 4)
    book, counts, sums = averaged_as_published(n, m, new_n, new_m, 0.99)
    total = sum(0.99 * float(a) + 0.01 * float(b) for a, b in zip(n, new_n, strict=True))
    for k in range(3):
        count = 0.99 * float(n[k]) + 0.01 * float(new_n[k])
        smoothed = (count + 1e-5) / (total + 3e-5) * total
        assert torch.allclose(book[k], (0.99 * m[k] + 0.01 * new_m[k]) / smoothed, rtol=1e-4)
        assert float(counts[k]) == pytest.approx(count, rel=1e-5)
    assert torch.allclose(sums, 0.99 * m + 0.01 * new_m)


def test_the_usage_deficit_does_not_depend_on_the_order_of_codes_or_tokens() -> None:
    p = torch.softmax(3 * torch.randn(40, 9), dim=1)
    assert 0.0 < float(usage_deficit(p)) < torch.log(torch.tensor(9.0))
    shuffled = p[torch.randperm(40)][:, torch.randperm(9)]
    assert float(usage_deficit(shuffled)) == pytest.approx(float(usage_deficit(p)), abs=1e-6)


def test_centres_are_the_means_of_separate_clusters() -> None:
    places = 100.0 * torch.eye(6)
    x = (places[:, None] + torch.randn(6, 30, 6)).flatten(0, 1)[torch.randperm(180)]
    found = codes_at_centres(x, 6, source())
    means = torch.stack([x[nearest(x, places) == k].mean(0) for k in range(6)])
    assert torch.allclose(found[nearest(means, found)], means, atol=1e-3)
    moved = codes_at_centres(x + 10.0, 6, source())
    assert torch.allclose(moved, found + 10.0, atol=1e-3)


def test_centres_have_a_lower_quantisation_error_than_tokens() -> None:
    x = torch.randn(1000, 4)
    at_centres, at_tokens = (make(x, 32, source()) for make in (codes_at_centres, codes_at_tokens))
    errors = [float(squared_distances(x, book).amin(1).mean()) for book in (at_centres, at_tokens)]
    assert errors[0] < 0.8 * errors[1]


def test_as_many_codes_as_different_tokens_equal_these_tokens() -> None:
    x = torch.randn(12, 4)
    for make in (codes_at_centres, codes_at_tokens):
        book = make(x.repeat(3, 1) if make is codes_at_centres else x, 12, source())
        assert float(squared_distances(x, book).amin(1).max()) < 1e-6
    with pytest.raises(ValueError, match="there are no tokens"):
        codes_at_centres(x[:0], 3, source())


def test_uniform_codes_lie_within_one_over_k() -> None:
    book = uniform_codes(50, 40, source())
    assert 0.019 < float(book.abs().max()) <= 0.02
    assert float(book.mean()) == pytest.approx(0.0, abs=1e-3)


def test_spaced_rows_include_the_first_and_the_last() -> None:
    rows = torch.arange(100.0)[:, None]
    assert spaced(rows, 4).flatten().tolist() == [0, 33, 66, 99]
    assert spaced(rows, 100) is rows
