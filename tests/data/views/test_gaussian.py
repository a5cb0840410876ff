"""The toy's data: draws have the moments that the theory assumes and depend on nothing but their
key."""

import pytest
import torch

from jepa_lab.studies.linear_byol.data import CHUNK, GaussianViews, generator


def views(seed: int = 1, **options: object) -> GaussianViews:
    return GaussianViews.make(seed, 4, 12, 0.5, **options)  # type: ignore[arg-type]


def test_a_has_orthonormal_columns_and_the_spectrum_ascends_evenly() -> None:
    data = views()
    torch.testing.assert_close(data.A.mT @ data.A, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(
        data.spectrum, torch.tensor([0.1, 33.4, 66.7, 100.0], dtype=torch.float64)
    )


def test_the_logarithmic_spectrum_ascends_evenly_in_its_logarithm() -> None:
    ratios = views(kind="log", span=(0.1, 100.0)).spectrum
    torch.testing.assert_close(
        ratios[1:] / ratios[:-1], torch.full((3,), 10.0, dtype=torch.float64)
    )


def test_columns_that_are_not_orthonormal_are_as_drawn() -> None:
    gram = views(orthonormal=False).A
    assert (gram.mT @ gram - torch.eye(4)).abs().max() > 0.05


def test_views_share_the_latent_and_differ_by_independent_noise() -> None:
    data = views()
    z, x, x_plus = data.evaluation(200_000)
    expected = data.A * data.spectrum @ data.A.mT
    shared = x.mT @ x_plus / len(x)
    own = x.mT @ x / len(x)
    assert (shared - expected).norm() < 0.02 * expected.norm()
    torch.testing.assert_close(
        (own - shared).diagonal().mean(), torch.tensor(0.25, dtype=torch.float64), rtol=0.05, atol=0
    )
    noise, other = x - z @ data.A.mT, x_plus - z @ data.A.mT
    assert (noise * other).mean().abs() < 0.002


def test_a_batch_depends_on_seed_size_and_step_alone() -> None:
    first = views().batches(8, 3)
    torch.randn(5)
    views().evaluation(10)
    for a, b in zip(first, views().batches(8, 3), strict=True):
        assert torch.equal(a, b)
        assert a.shape == (CHUNK, 8, 12)
    for other in (views().batches(8, 4), views().batches(9, 3), views(2).batches(8, 3)):
        assert not torch.equal(first[0][:, :8], other[0][:, :8])


@pytest.mark.parametrize("key", [("a", 2), ("b", 1)])
def test_generators_of_other_keys_give_other_numbers(key: tuple[object, ...]) -> None:
    assert not torch.equal(
        torch.rand(4, generator=generator("a", 1)), torch.rand(4, generator=generator(*key))
    )
