"""Labels of a user's .npz or own source: mapped to classes over all splits, named, or refused in
one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lab.data.images.arrays import Arrays
from jepa_lab.data.images.image_source import Splits, load_splits
from jepa_lab.data.images.own_images import npz
from jepa_lab.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
SEVEN = np.arange(60) % 7


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Splits]:
    def write_and_read(**arrays: Any) -> Splits:
        np.savez(tmp_path / "own.npz", **arrays)
        return load_splits("npz", path=str(tmp_path / "own.npz"))

    return write_and_read


def fingerprint(splits: Splits) -> str:
    return "-".join(s.fingerprint() for s in (splits.train, splits.val, splits.test))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["cat", "dog", "owl"])[SEVEN % 3], ("cat", "dog", "owl")),
        (SEVEN > 2, ("False", "True")),
        (SEVEN - 3.0, tuple(str(k) for k in range(-3, 4))),
        (SEVEN[:, None] - 1, tuple(str(k) for k in range(-1, 6))),
        (SEVEN % 2 * 2**62, ("0", str(2**62))),
        (np.array([2**64 - 1, 10**7], dtype=np.uint64)[SEVEN % 2], ("10000000", str(2**64 - 1))),
    ],
)
def test_labels_of_an_npz_become_named_classes(
    labels: np.ndarray, names: tuple[str, ...], read: Callable[..., Splits]
) -> None:
    images = PIXELS.copy()
    values = sorted(set(labels.ravel().tolist()))
    expected = np.array([values.index(x) for x in labels.ravel().tolist()])
    images[:, 0, 0] = expected
    splits = read(images=images, labels=labels)
    for source in (splits.train, splits.val, splits.test):
        assert source.class_names == names
        assert source.n_classes == len(names)
        assert torch.equal(source.labels, source.images[:, 0, 0, 0].long())


@pytest.mark.parametrize("dtype", ["int64", "uint8", ">i2", "float64"])
def test_labels_0_to_k_keep_their_fingerprint(dtype: str, read: Callable[..., Splits]) -> None:
    splits = read(images=PIXELS, labels=SEVEN.astype(dtype))
    # computed before labels were mapped
    assert fingerprint(splits) == "9efc4b21f8-d31e81cd42-5bf9342002"
    assert (splits.train.n_classes, splits.train.class_names) == (7, ())
    given = read(
        train_images=PIXELS[:40],
        train_labels=np.arange(40) % 5,
        test_images=PIXELS[40:],
        test_labels=np.arange(20) % 5,
    )
    assert fingerprint(given) == "84be1ff1cd-64ee0ade44-e092c2e9a1"
    assert fingerprint(read(images=PIXELS)) == "16ee98663f-68c1425786-e086ba977b"


def test_classes_of_all_splits_are_numbered_together_and_counted(
    read: Callable[..., Splits],
) -> None:
    splits = read(
        train_images=PIXELS[:30],
        train_labels=np.array(["b", "c"] * 15),
        val_images=PIXELS[30:40],
        val_labels=np.array(["b"] * 10),
        test_images=PIXELS[40:],
        test_labels=np.array(["a", "c"] * 10),
    )
    assert splits.train.class_names == ("a", "b", "c")
    assert splits.train.labels.tolist() == [1, 2] * 15
    assert splits.class_counts() == {"train": [0, 15, 15], "val": [0, 10, 0], "test": [10, 0, 10]}
    assert read(images=PIXELS).class_counts() == {}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.where(SEVEN == 3, np.nan, SEVEN), "labels: nan in row 3 is not a finite number"),
        (SEVEN / 4, "labels: 0.25 in row 1 is not whole"),
        (np.array(["a", ""])[SEVEN % 2], "labels: '' in row 1 is an empty string"),
        (SEVEN[:50], "labels have shape (50,); (60,) is needed"),
        (np.arange(60) * 10**7, "labels have 60 distinct values in 60 rows look like an index"),
        (np.array(["a", 1] * 30, dtype=object), "not a readable .npz (labels hold Python objects)"),
        (SEVEN.astype("m8[s]"), "labels hold timedelta64[s]"),
    ],
)
def test_labels_that_are_no_classes_are_one_line(
    labels: np.ndarray, message: str, read: Callable[..., Splits]
) -> None:
    with pytest.raises(UserError) as error:
        read(images=PIXELS, labels=labels)
    assert str(error.value).split(": ", 1)[1].startswith(message)
    assert "\n" not in str(error.value)


def test_labels_of_two_kinds_or_of_some_splits_are_refused(read: Callable[..., Splits]) -> None:
    parts = {"train_images": PIXELS[:40], "test_images": PIXELS[40:]}
    words = {"train_labels": np.array(["0", "1"] * 20)}
    with pytest.raises(UserError, match="train_labels are strings, test_labels are whole numbers"):
        read(**parts, **words, test_labels=np.arange(20) % 2)
    with pytest.raises(UserError, match="label all or none"):
        read(**parts, **words)


def test_other_arrays_of_a_file_are_not_read(read: Callable[..., Splits]) -> None:
    splits = read(images=PIXELS, labels=SEVEN, notes=np.array([None, "a"]))
    assert splits.train.n_classes == 7


# a source of the user's own code


def own(**changes: Any) -> Callable[[], Any]:
    """A source whose training images are changed."""
    images = torch.from_numpy(PIXELS[:, None].repeat(6, 1))
    parts = {split: Arrays(images, torch.from_numpy(SEVEN)) for split in ("train", "val", "test")}
    return lambda: {**parts, "train": Arrays(**{**vars(parts["train"]), **changes})}


def test_arrays_of_any_library_and_layout_are_the_same_data() -> None:
    pixels = PIXELS[:, None].repeat(6, 1)
    latents = np.random.default_rng(0).normal(size=(60, 2, 7)).astype(np.float32)
    plain = load_splits(own(latents=torch.from_numpy(latents))).train
    for images, values, labels in (
        (np.asfortranarray(pixels), latents.astype(">f8"), SEVEN.tolist()),
        (pixels.repeat(2, 0)[::2], np.asfortranarray(latents), SEVEN[:, None]),
        (pixels, np.ma.array(latents), torch.from_numpy(SEVEN).to(torch.int8)),
    ):
        train = load_splits(own(images=images, latents=values, labels=labels)).train
        assert train.fingerprint() == plain.fingerprint()
        assert (train.n_classes, train.class_names) == (7, ())


def test_labels_of_an_own_source_become_classes() -> None:
    splits = load_splits(own(labels=SEVEN * 100))
    assert splits.train.class_names == tuple(
        map(str, sorted({*range(7), *(100 * k for k in range(7))}))
    )
    assert splits.test.labels.tolist() == SEVEN.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": PIXELS[:, None].astype(np.float32)}, "train images are float32 (60, 1, 4, 4)"),
        ({"images": PIXELS}, "train images are uint8 (60, 4, 4); uint8 (N, C, H, W) is needed"),
        ({"labels": SEVEN[:9]}, "train labels have shape (9,); (60,) is needed"),
        ({"labels": None}, "some splits have labels, others do not"),
        ({"saliency": np.ones((60, 4, 5))}, "train saliency are float64 (60, 4, 5); numbers"),
        ({"saliency": np.ones((60, 4, 4), bool)}, "train saliency are bool"),
        ({"latents": np.ones((60, 7))}, "train latents are float64 (60, 7); numbers (60, K, 7)"),
        ({"latents": np.ones((60, 2, 7), object)}, "train latents are object"),
        (
            {"latents": np.ones((60, 4, 7))},
            "train images have 6 channels, which are not those of 4",
        ),
        ({"latents": np.full((60, 2, 7), 1e300)}, "train latents have values that are not finite"),
        ({"latents": np.ma.masked_all((60, 2, 7))}, "train latents: 840 of 840 values are masked"),
        (
            {"latents": np.zeros((60, 2), dtype=[("yaw", float)])},
            "train latents: an array with the fields yaw",
        ),
    ],
)
def test_arrays_of_an_own_source_that_do_not_fit_are_one_line(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        load_splits(own(**changes))
    assert str(error.value).startswith(f"dataset.source: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", [None, [], {"train": PIXELS}])
def test_a_source_without_splits_is_one_line(given: Any) -> None:
    with pytest.raises(UserError, match=r"load returned no Arrays for train, val, test"):
        load_splits(lambda: given)


@pytest.mark.parametrize(("top", "said"), [(1, True), (16, True), (200, False)])
def test_images_cast_from_another_range_are_named(
    top: int, said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, top + 1, size=(60, 8, 8), dtype=np.uint8)
    images[0, 0, 0] = top
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(60) % 3)
    npz(str(tmp_path / "own.npz"), None)
    assert (f"the brightest pixel is {top} of 255" in capsys.readouterr().err) == said
