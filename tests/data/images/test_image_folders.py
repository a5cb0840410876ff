from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_lab.data.images.image_source import load_splits
from jepa_lab.errors import UserError


def paint(
    folder: Path, n: int, seed: int = 0, size: tuple[int, int] = (40, 60), colour: int | None = None
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(n):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        if colour is not None:
            image[:] = colour
            image[:, :, 0] = i
        Image.fromarray(image).save(folder / f"{i}.png")


def test_class_folders_give_labels_in_sorted_order(tmp_path: Path) -> None:
    for label, name in enumerate(("ant", "bee", "cat")):
        paint(tmp_path / name, 10, seed=label, colour=100 + label)
    splits = load_splits("folder", root=str(tmp_path))
    assert [len(s.images) for s in (splits.train, splits.val, splits.test)] == [24, 3, 3]
    assert splits.train.n_classes == 3
    for source in (splits.train, splits.val, splits.test):
        assert tuple(source.images.shape[1:]) == (3, 32, 32)
        assert torch.equal(source.labels, source.images[:, 1, 0, 0].long() - 100)
        assert source.class_names == ("ant", "bee", "cat")


def test_a_class_folder_without_images_is_no_class(tmp_path: Path) -> None:
    for label, name in enumerate(("ant", "cat")):
        paint(tmp_path / name, 10, seed=label, colour=100 + label)
    (tmp_path / "bee").mkdir()
    train = load_splits("folder", root=str(tmp_path)).train
    assert (train.n_classes, train.class_names) == (2, ("ant", "cat"))
    assert torch.equal(train.labels, train.images[:, 1, 0, 0].long() - 100)


def test_a_flat_folder_is_unlabelled_and_other_files_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(tmp_path, 20)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".DS_Store").write_text("hidden")
    splits = load_splits("folder", root=str(tmp_path), image_size=16)
    assert f"1 files in {tmp_path} are no images: notes.txt" in capsys.readouterr().err
    assert splits.train.labels is None
    assert splits.train.n_classes == 0
    assert tuple(splits.train.images.shape) == (16, 3, 16, 16)


def test_split_folders_are_kept_and_a_missing_validation_comes_from_train(tmp_path: Path) -> None:
    for seed, (part, n) in enumerate((("train", 20), ("test", 4))):
        paint(tmp_path / part / "a", n, seed=2 * seed)
        paint(tmp_path / part / "b", n, seed=2 * seed + 1)
    splits = load_splits("folder", root=str(tmp_path))
    assert [len(s.images) for s in (splits.train, splits.val, splits.test)] == [36, 4, 8]


def test_the_shorter_side_is_resized_and_the_centre_kept(tmp_path: Path) -> None:
    image = np.zeros((32, 96, 3), dtype=np.uint8)
    for i in range(20):
        image[:, 32:64] = 200 + i
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    train = load_splits("folder", root=str(tmp_path)).train.images
    assert train.ge(200).all()
    assert torch.equal(train, train[:, :, :1, :1].expand_as(train))


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    paint(tmp_path, 12)
    (tmp_path / "5.png").write_bytes((tmp_path / "5.png").read_bytes()[:100])
    with pytest.raises(UserError, match=r"5\.png is not a readable image"):
        load_splits("folder", root=str(tmp_path))


def test_a_class_that_is_missing_in_train_is_a_user_error(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "val/a", "val/c", "test/a"):
        paint(tmp_path / name, 3)
    with pytest.raises(UserError, match=r"class folder c is in val/ but not in train/"):
        load_splits("folder", root=str(tmp_path))


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_missing_or_empty_folder_is_a_user_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no such folder|no image"):
        load_splits("folder", root=str(tmp_path / name))
