import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
from jepa_lab.data.images.image_source import load_splits
from jepa_lab.data.images.public_folders import imagenet_with_maps, map_of, tiny_imagenet
from jepa_lab.errors import UserError
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from study_parts import load_data

WNIDS = ("n02", "n01", "n03")  # the order of wnids.txt is not sorted


def picture(path: Path, value: int, size: tuple[int, int] = (64, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path, quality=95)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Ten training images and two validation images per class, with grey level 40 * class."""
    top = tmp_path / "tiny-imagenet-200"
    rows = []
    for label, name in enumerate(WNIDS):
        for i in range(10):
            picture(top / "train" / name / "images" / f"{name}_{i}.JPEG", 40 * label)
        for i in range(2):
            picture(top / "val" / "images" / f"val_{i * 3 + label}.JPEG", 40 * label)
            rows.append(f"val_{i * 3 + label}.JPEG\t{name}\t0\t0\t62\t62\n")
    (top / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (top / "val" / "val_annotations.txt").write_text("".join(reversed(rows)))
    return tmp_path


@pytest.mark.parametrize("inside", [False, True])
def test_tiny_imagenet_is_read_with_its_official_validation_as_test(
    tiny: Path, inside: bool
) -> None:
    parts = tiny_imagenet(str(tiny / "tiny-imagenet-200" if inside else tiny))
    assert [len(parts[name].images) for name in ("train", "val", "test")] == [27, 3, 6]
    for part in parts.values():
        assert part.images.shape[1:] == (3, 64, 64)
        assert part.labels is not None
        assert torch.equal((part.images[:, 0, 32, 32].float() / 40).round().long(), part.labels)


def test_tiny_imagenet_is_a_source_with_its_published_normalisation(tiny: Path) -> None:
    splits = load_splits("tinyimagenet", root=str(tiny), train_size=9)
    assert len(splits.train.images) == 9
    assert splits.train.n_classes == 3
    assert splits.train.mean == (0.4802, 0.4481, 0.3975)


def remove_annotations(top: Path) -> None:
    (top / "val" / "val_annotations.txt").unlink()


def name_an_unknown_class(top: Path) -> None:
    (top / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn99\t0\t0\t1\t1\n")


def remove_an_image(top: Path) -> None:
    (top / "val" / "images" / "val_4.JPEG").unlink()


def break_an_image(top: Path) -> None:
    (top / "train" / "n01" / "images" / "n01_3.JPEG").write_bytes(b"no image")


def remove_train(top: Path) -> None:
    shutil.rmtree(top / "train")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_annotations, "val_annotations.txt"),
        (name_an_unknown_class, "line 1 .* no class of wnids"),
        (remove_an_image, "val_4.JPEG is missing"),
        (break_an_image, "n01_3.JPEG is not a readable image"),
        (remove_train, "no image in .*train"),
        (shutil.rmtree, "no TinyImageNet there"),
    ],
)
def test_a_damaged_tiny_imagenet_is_a_user_error(
    tiny: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(tiny / "tiny-imagenet-200")
    with pytest.raises(UserError, match=message) as error:
        tiny_imagenet(str(tiny))
    assert str(error.value).startswith(f"dataset.root={tiny}: ")
    assert "\n" not in str(error.value)


@pytest.fixture
def gazed(tmp_path: Path) -> Path:
    """Images of 40 x 20 pixels. The mass of the map, and a white square of the image, are at row 5
    and columns 25 to 29."""
    for part, n in (("train", 10), ("val", 2)):
        for name in ("n01", "n02"):
            for i in range(n):
                path = tmp_path / part / name / f"{name}_{i}.JPEG"
                pixels = np.zeros((20, 40, 3), dtype=np.uint8)
                pixels[4:8, 24:28] = 255
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path, quality=95)
                np.save(map_of(path), pixels[..., 0].astype(np.float32))
    return tmp_path


def test_images_and_their_maps_are_cropped_alike(gazed: Path) -> None:
    parts = imagenet_with_maps(str(gazed), size=10)
    assert [len(parts[name].images) for name in ("train", "val", "test")] == [18, 2, 4]
    for part in parts.values():
        assert part.saliency is not None
        assert part.labels is not None
        assert part.images.shape[1:] == (3, 10, 10)
        torch.testing.assert_close(part.saliency.sum((1, 2)), torch.ones(len(part.images)))
        bright = part.images.float().mean(1)
        peaks = [x.flatten(1).argmax(1) for x in (part.saliency, bright)]
        for peak in peaks:  # the white square ends up at rows 2 to 3 and columns 7 to 8
            assert bool((peak // 10).ge(2).logical_and(peak // 10 <= 3).all())
            assert bool((peak % 10).ge(7).logical_and(peak % 10 <= 8).all())


def save_map(gazed: Path, content: np.ndarray) -> None:
    np.save(gazed / "train" / "n02" / "n02_3-sal.npy", content)


WRONG = np.ones((20, 40), dtype=np.float32)
WRONG[3, 3] = -1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "n02_3.JPEG has no saliency map; n02_3-sal.npy"),
        (np.ones((40, 20)), "n02_3.JPEG .* its image is 20x40"),
        (WRONG, "n02_3.JPEG has negative values"),
        (np.zeros((20, 40)), "n02_3.JPEG is zero everywhere"),
    ],
)
def test_the_first_image_without_a_valid_map_is_named(
    gazed: Path, content: np.ndarray | None, message: str
) -> None:
    if content is None:
        for i in (3, 7):
            (gazed / "train" / "n02" / f"n02_{i}-sal.npy").unlink()
    else:
        save_map(gazed, content)
    with pytest.raises(UserError, match=message) as error:
        imagenet_with_maps(str(gazed), size=10)
    assert "\n" not in str(error.value)


def test_a_class_only_in_val_or_no_class_at_all_is_a_user_error(
    gazed: Path, tmp_path: Path
) -> None:
    (gazed / "val" / "n09").mkdir()
    with pytest.raises(UserError, match="n09 is in val/ but not in train/"):
        imagenet_with_maps(str(gazed))
    with pytest.raises(UserError, match="no class folder"):
        imagenet_with_maps(str(tmp_path / "absent"))


def test_a_subset_has_the_same_images_and_a_set_without_maps_needs_no_map_files(
    gazed: Path,
) -> None:
    parts = imagenet_with_maps(str(gazed), size=10, train_size=4, val_size=2)
    assert [len(parts[name].images) for name in ("train", "val", "test")] == [4, 2, 2]
    whole = imagenet_with_maps(str(gazed), size=10)["train"].subset(4, 0)
    assert torch.equal(parts["train"].images, whole.images)
    for path in gazed.rglob("*-sal.npy"):
        path.unlink()
    assert imagenet_with_maps(str(gazed), size=10, with_maps=False)["train"].saliency is None


def test_images_beyond_the_memory_limit_are_refused_with_their_size(gazed: Path) -> None:
    with pytest.raises(
        UserError, match=r"24 samples at 20000 pixels take 67.2 GB .* lower dataset.train_size"
    ) as error:
        imagenet_with_maps(str(gazed), size=20000)
    assert "\n" not in str(error.value)


def saccades(root: Path) -> list[str]:
    small = [
        "encoder=resnet_small",
        "model=seq_jepa_small",
        "dataset.image_size=16",
        "dataset.fovea=8",
    ]
    return [
        "dataset=imagenet_saccade",
        f"dataset.root={root}",
        *small,
        "dataset.epochs=1",
        "dataset.batch_size=8",
    ]


def test_a_run_trains_on_images_with_maps(gazed: Path, make_config: Callable[..., Config]) -> None:
    result = train(make_config(*saccades(gazed)))
    assert result.state == "completed"
    assert np.isfinite(result.metrics["test/probe/action_from_z"])


@pytest.mark.parametrize("saliency", ["file", "uniform", "spectral"])
def test_maps_are_read_only_with_saliency_file(
    gazed: Path, make_config: Callable[..., Config], saliency: str
) -> None:
    splits = load_data(make_config(*saccades(gazed), f"dataset.saliency={saliency}"))
    assert (splits.val.saliency is not None) == (saliency == "file")
    assert splits.train.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "dataset.root is missing: the folder of ImageNet"),
        (
            ["dataset.root=absent"],
            "dataset.root=absent: no class folder in absent/train; expected train/<wnid>",
        ),
        (
            ["dataset.root=x", "dataset.saliency_path=y"],
            "the maps of dataset=imagenet_saccade lie beside its images",
        ),
    ],
)
def test_a_configuration_without_images_is_refused_in_one_line(
    make_config: Callable[..., Config], overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_data(make_config("dataset=imagenet_saccade", "encoder=resnet_small", *overrides))
    assert "\n" not in str(error.value)
