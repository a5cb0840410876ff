import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jepa_lab.data.images import public_images
from jepa_lab.data.images.image_source import ImageSource, Splits, load_splits, measured_norm
from jepa_lab.errors import UserError


def sizes(splits: Splits) -> tuple[int, int, int]:
    return len(splits.train.images), len(splits.val.images), len(splits.test.images)


def contents(source: ImageSource) -> set[bytes]:
    return {image.numpy().tobytes() for image in source.images}


def test_digits_split_into_the_fixed_sizes_without_sharing_an_image() -> None:
    splits = load_splits("digits")
    assert sizes(splits) == (1097, 340, 360)
    assert tuple(splits.train.images.shape[1:]) == (1, 16, 16)
    assert splits.train.n_classes == splits.test.n_classes == 10
    train, val, test = (contents(s) for s in (splits.train, splits.val, splits.test))
    assert not train & val
    assert not train & test
    assert not val & test


def test_the_split_of_a_digit_depends_only_on_the_hash_of_its_pixels() -> None:
    from sklearn.datasets import load_digits

    small = (torch.from_numpy(load_digits().images) * 255 / 16).round().to(torch.uint8)
    keys = [hashlib.blake2b(x.numpy().tobytes(), digest_size=16).digest() for x in small]
    train = sorted(sorted(range(1797), key=lambda i: keys[i])[:1097])
    assert load_splits("digits").train.labels.tolist() == load_digits().target[train].tolist()
    eight = load_splits("digits", image_size=8).train.images[:, 0]
    assert torch.equal(eight, small[train])


def test_a_subset_is_reproducible_depends_on_the_seed_and_leaves_test_alone() -> None:
    one, two, other = (
        load_splits("digits", train_size=100, val_size=50, split_seed=s) for s in (0, 0, 1)
    )
    assert sizes(one) == (100, 50, 360)
    assert torch.equal(one.train.images, two.train.images)
    assert not torch.equal(one.train.images, other.train.images)
    assert torch.equal(one.test.images, other.test.images)
    assert contents(one.train) <= contents(load_splits("digits").train)


def test_the_fingerprint_depends_on_pixels_labels_and_shape() -> None:
    source = load_splits("digits").val
    dimmed, relabelled = source.images.clone(), source.labels.clone()
    dimmed[3, 0, 8, 8] ^= 1
    relabelled[5] += 1
    changed = [
        replace(source, images=dimmed),
        replace(source, labels=relabelled),
        replace(source, labels=None),
        replace(source, images=source.images.view(-1, 1, 8, 32)),
    ]
    assert source.fingerprint() == load_splits("digits").val.fingerprint()
    assert len({source.fingerprint(), *(c.fingerprint() for c in changed)}) == 5


def test_measured_normalisation_is_the_mean_and_std_of_each_channel() -> None:
    images = torch.randint(0, 256, (50, 3, 6, 6), dtype=torch.uint8)
    images[:, 2] = 51
    mean, std = measured_norm(images)
    unit = images.double() / 255
    assert mean == pytest.approx(unit.mean((0, 2, 3)).tolist())
    assert std[:2] == pytest.approx(unit.std((0, 2, 3), correction=0).tolist()[:2])
    assert std[2] == 1e-3


def test_all_splits_are_normalised_by_statistics_of_train() -> None:
    splits = load_splits("digits")
    assert (splits.train.mean, splits.train.std) == measured_norm(splits.train.images)
    assert splits.val.mean == splits.test.mean == splits.train.mean


def test_mnist_on_disk_is_read_as_it_is_with_the_published_normalisation(data_folder: Path) -> None:
    if not (data_folder / "MNIST" / "raw").is_dir():
        pytest.skip("no MNIST/raw in the data folder")
    splits = load_splits("mnist", root=str(data_folder))
    train, val, test = sizes(splits)
    assert val == (train + val) // 10
    assert test == 10_000
    assert (splits.train.mean, splits.train.std) == ((0.1307,), (0.3081,))
    assert not contents(splits.train) & contents(splits.val)
    assert sizes(load_splits("mnist", root=str(data_folder), train_size=1000, val_size=200)) == (
        1000,
        200,
        10_000,
    )


def test_the_cifar_subset_has_three_channels_and_a_held_out_validation(data_folder: Path) -> None:
    file = data_folder / "cifar10_subset.npz"
    if not file.is_file():
        pytest.skip("no cifar10_subset.npz in the data folder")
    splits = load_splits("npz", path=str(file), val_size=1000)
    assert sizes(splits) == (4085, 1000, 1017)
    assert splits.train.n_classes == 10
    assert splits.train.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.01)


@pytest.mark.parametrize("source", ["mnist", "cifar10", "cifar100"])
def test_the_error_for_a_failed_download_explains_what_to_do(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets as sets

    def offline(self: object) -> None:
        raise OSError("no route to host")

    for kind in (sets.MNIST, sets.CIFAR10, sets.CIFAR100):
        monkeypatch.setattr(kind, "download", offline)
    with pytest.raises(UserError, match=r"put the files there by hand.*dataset\.root=") as error:
        load_splits(source, root=str(tmp_path))
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_broken_mnist_file_is_a_user_error(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{part}-ubyte").write_bytes(b"\0\0\x08\x03 not images")
    with pytest.raises(UserError, match="mnist"):
        load_splits("mnist", root=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"), [({"source": "svhn"}, "no such source"), ({"image_size": 20}, "resize")]
)
def test_an_unknown_source_or_an_unsupported_option_is_a_user_error(
    options: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_splits(**{"source": "npz", "path": "absent.npz", **options})


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    def write(**arrays: np.ndarray) -> str:
        np.savez(tmp_path / "images.npz", **arrays)
        return str(tmp_path / "images.npz")

    return write


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(50, 3, 8, 8), (50, 8, 8, 3), (50, 8, 8)])
def test_an_npz_of_images_is_read_in_every_layout(
    save: Callable[..., str], shape: tuple[int, ...]
) -> None:
    images = pixels(*shape)
    splits = load_splits("npz", path=save(images=images))
    assert sizes(splits) == (40, 5, 5)
    channels = 3 if len(shape) == 4 else 1
    assert tuple(splits.train.images.shape[1:]) == (channels, 8, 8)
    if shape[-1] == 3:
        images = images.transpose(0, 3, 1, 2)
    expected = {np.ascontiguousarray(x).tobytes() for x in images}
    assert contents(splits.train) | contents(splits.val) | contents(splits.test) == expected


def test_unlabelled_images_have_no_labels_and_no_classes(save: Callable[..., str]) -> None:
    splits = load_splits("npz", path=save(images=pixels(30, 8, 8)))
    assert splits.train.labels is splits.val.labels is splits.test.labels is None
    assert splits.train.n_classes == 0


def test_equal_images_never_fall_into_two_splits(save: Callable[..., str]) -> None:
    splits = load_splits("npz", path=save(images=pixels(20, 4, 4).repeat(6, axis=0)))
    assert sum(sizes(splits)) == 120
    parts = [contents(s) for s in (splits.train, splits.val, splits.test)]
    assert sum(len(p) for p in parts) == 20


def test_labels_stay_with_their_images(save: Callable[..., str]) -> None:
    images = pixels(60, 4, 4)
    images[:, 0, 0] = np.arange(60) % 7
    for source in vars(
        load_splits("npz", path=save(images=images, labels=np.arange(60) % 7))
    ).values():
        assert torch.equal(source.labels, source.images[:, 0, 0, 0].long())
        assert source.n_classes == 7


def test_given_splits_are_kept_and_a_missing_validation_comes_from_train(
    save: Callable[..., str],
) -> None:
    arrays = {"train_images": pixels(40, 4, 4), "test_images": pixels(9, 4, 4, seed=1)}
    splits = load_splits("npz", path=save(**arrays))
    assert sizes(splits) == (36, 4, 9)
    assert contents(splits.train) | contents(splits.val) == {
        x.tobytes() for x in arrays["train_images"]
    }
    assert sizes(load_splits("npz", path=save(**arrays, val_images=pixels(5, 4, 4, seed=2)))) == (
        40,
        5,
        9,
    )


BAD_ARRAYS: list[tuple[dict[str, np.ndarray], str]] = [
    ({"images": pixels(20, 4, 4).astype(np.float32)}, "float32; uint8"),
    ({"images": pixels(20, 4, 4), "labels": np.arange(19)}, r"shape \(19,\); \(20,\) is needed"),
    ({"images": pixels(20, 4, 4), "labels": np.arange(20) - 1}, "look like an index"),
    ({"images": pixels(20, 4, 4), "labels": np.ones(20)}, "one class"),
    ({"images": pixels(20, 4, 4), "labels": np.zeros(20, int)}, "one class"),
    ({"images": pixels(0, 4, 4)}, "no train images"),
    ({"images": pixels(20, 16)}, "shape"),
    ({"images": pixels(20, 4, 6)}, "square"),
    ({"pictures": pixels(20, 4, 4)}, "found pictures"),
    ({"train_images": pixels(20, 4, 4), "test_images": pixels(20, 5, 5)}, "several shapes"),
    (
        {
            "train_images": pixels(20, 4, 4),
            "train_labels": np.arange(20),
            "test_images": pixels(20, 4, 4),
        },
        "label all or none",
    ),
]


@pytest.mark.parametrize(("arrays", "message"), BAD_ARRAYS)
def test_arrays_that_are_not_images_are_a_user_error(
    arrays: dict[str, np.ndarray], message: str, save: Callable[..., str]
) -> None:
    path = save(**arrays)
    with pytest.raises(UserError, match=message) as error:
        load_splits("npz", path=path)
    assert str(error.value).startswith(f"dataset.path={path}")
    assert "\n" not in str(error.value)


def test_a_missing_or_broken_npz_is_a_user_error(tmp_path: Path) -> None:
    good, broken = tmp_path / "good.npz", tmp_path / "broken.npz"
    np.savez_compressed(good, images=np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8))
    data = bytearray(good.read_bytes())
    flipped = bytes(data[:80]) + b"\xff" * 20 + bytes(data[100:])
    for content in (b"", b"not a zip", bytes(data[: len(data) // 2]), flipped):
        broken.write_bytes(content)
        with pytest.raises(UserError, match="not a readable"):
            load_splits("npz", path=str(broken))
    np.save(tmp_path / "plain.npy", pixels(20, 4, 4))
    assert len(load_splits("npz", path=str(tmp_path / "plain.npy")).train.images) == 16
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "objects.npz", images=objects)
    with pytest.raises(UserError, match="not a readable"):
        load_splits("npz", path=str(tmp_path / "objects.npz"))
    for path in (None, str(tmp_path / "absent.npz"), str(tmp_path)):
        with pytest.raises(UserError, match="no such file"):
            load_splits("npz", path=path)


def test_the_digits_are_those_of_scikit_learn_also_where_their_file_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sklearn.datasets import load_digits

    expected = load_digits()
    found = public_images.read_digits()
    monkeypatch.setattr(public_images, "find_spec", lambda name: None)
    for images, labels in (found, public_images.read_digits()):
        assert np.array_equal(images, expected.images)
        assert np.array_equal(labels, expected.target)
        assert (images.dtype, labels.dtype) == (expected.images.dtype, expected.target.dtype)
