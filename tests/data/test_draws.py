import hashlib
import math

import pytest
import torch

from jepa_lab.data.draws import uniform

KEY = {"seed": 3, "split": "train", "epoch": 5}
N = 20_000


def correlation(x: torch.Tensor, y: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1])


def test_a_sample_draws_the_same_numbers_in_any_batch_and_any_order() -> None:
    index = torch.arange(100)
    whole = uniform(index, 7, **KEY)
    order = torch.randperm(100)
    assert torch.equal(uniform(order, 7, **KEY), whole[order])
    assert torch.equal(torch.cat([uniform(part, 7, **KEY) for part in index.split(33)]), whole)
    assert torch.equal(uniform(index[42:43], 7, **KEY), whole[42:43])


def test_a_longer_draw_only_appends_slots() -> None:
    index = torch.arange(10)
    assert torch.equal(uniform(index, 9, **KEY)[:, :4], uniform(index, 4, **KEY))


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"epoch": 6}, {"split": "val"}, {"stream": "crops"}]
)
def test_every_part_of_the_key_changes_the_numbers(change: dict[str, int | str]) -> None:
    index = torch.arange(N)
    a, b = uniform(index, 1, **KEY), uniform(index, 1, **{**KEY, **change})
    assert abs(correlation(a, b)) < 4 / math.sqrt(N)
    assert not torch.equal(a, b)


def test_numbers_are_uniform_on_the_unit_interval() -> None:
    u = uniform(torch.arange(N), 4, **KEY)
    assert u.dtype == torch.float32
    assert 0.0 <= float(u.min()) < 1e-3
    assert 1 - 1e-3 < float(u.max()) < 1.0
    counts = torch.histc(u, bins=256, min=0.0, max=1.0)
    expected = u.numel() / 256
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi_square - 255) < 4 * math.sqrt(2 * 255)


def test_pairs_of_slots_fill_the_square_evenly() -> None:
    u = uniform(torch.arange(N), 2, **KEY)
    cells = (u[:, 0] * 16).long() * 16 + (u[:, 1] * 16).long()
    counts = torch.bincount(cells, minlength=256).float()
    chi_square = float(((counts - N / 256) ** 2 / (N / 256)).sum())
    assert abs(chi_square - 255) < 4 * math.sqrt(2 * 255)


def test_neighbouring_samples_slots_epochs_and_seeds_are_uncorrelated() -> None:
    index, bound = torch.arange(N), 4 / math.sqrt(N)
    u = uniform(index, 2, **KEY)
    assert abs(correlation(u[1:, 0], u[:-1, 0])) < bound
    assert abs(correlation(u[:, 0], u[:, 1])) < bound
    by_epoch = torch.cat(
        [uniform(torch.arange(20), 1, seed=0, split="train", epoch=e) for e in range(1000)]
    )
    assert abs(correlation(by_epoch[20:], by_epoch[:-20])) < bound
    by_seed = torch.cat(
        [uniform(torch.arange(20), 1, seed=s, split="train", epoch=0) for s in range(1000)]
    )
    assert abs(correlation(by_seed[20:], by_seed[:-20])) < bound


def splitmix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def test_the_numbers_are_splitmix64_on_unsigned_integers_and_never_change() -> None:
    golden, samples = 0x9E3779B97F4A7C15, (0, 1, 2**62, -1)
    key = int.from_bytes(
        hashlib.blake2b(repr((0, "train", 0, "views")).encode(), digest_size=8).digest(), "little"
    )
    drawn = uniform(torch.tensor(samples), 2, seed=0, split="train", epoch=0) * 2**24
    states = [splitmix((i * golden + key) % 2**64) for i in samples]
    assert drawn.long().tolist() == [
        [splitmix((s + k * golden) % 2**64) >> 40 for k in (1, 2)] for s in states
    ]
    assert int(drawn[0, 0]) == 7013920


def test_other_dtypes_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="int64"):
        uniform(torch.arange(4, dtype=torch.int32), 1, **KEY)
    with pytest.raises(ValueError, match="shape"):
        uniform(torch.zeros(2, 2, dtype=torch.int64), 1, **KEY)
