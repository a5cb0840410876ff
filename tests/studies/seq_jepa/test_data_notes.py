"""Images that are not what the configuration asks for: what is printed, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jepa_lab.errors import UserError
from jepa_lab.networks.encoders import LEAST_SIZE, build_encoder
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.resume import PLANNER, data_notes
from jepa_lab.studies.seq_jepa.study import STUDY

Make = Callable[..., Config]


def npz(folder: Path, size: int = 8, test_labels: tuple[int, ...] = (0, 1)) -> str:
    draws = np.random.default_rng(0)

    def images(n: int) -> np.ndarray:
        return draws.integers(0, 256, (n, 1, size, size), dtype=np.uint8)

    np.savez(
        folder / "own.npz",
        train_images=images(40),
        train_labels=np.arange(40) % 2,
        val_images=images(20),
        val_labels=np.arange(20) % 2,
        test_images=images(20),
        test_labels=np.resize(test_labels, 20),
    )
    return f"dataset.path={folder / 'own.npz'}"


def of_own(make_config: Make, path: str, encoder: str = "resnet_small") -> Config:
    sizes = ("dataset.train_size=null", "dataset.val_size=null", "dataset.batch_size=8")
    return make_config("dataset=npz", f"encoder={encoder}", path, *sizes)


def test_fewer_images_than_wanted_are_reported_with_both_numbers(make_config: Make) -> None:
    config = make_config("dataset.train_size=10000000", "dataset.val_size=5000")
    data = PLANNER.load(config)
    assert data_notes(config, data) == [
        "1,097 images, fewer than dataset.train_size=10000000",
        "340 validation images, fewer than dataset.val_size=5000",
    ]
    assert PLANNER.describe(config, data).endswith(
        "10 classes; 1,097 images, fewer than dataset.train_size=10000000; 340 validation images,"
        " fewer than dataset.val_size=5000"
    )
    assert not data_notes(make_config(), PLANNER.load(make_config()))


def test_the_notes_are_printed_before_training(make_config: Make, tmp_path: Path) -> None:
    config = of_own(make_config, npz(tmp_path, test_labels=(0, 1, 2)))
    data = PLANNER.load(config)
    assert STUDY.remark(config, data, STUDY.build(config, data)) == (
        "classes without a training image, in the test split: 2"
    )


def test_a_class_without_a_training_image_is_named(make_config: Make, tmp_path: Path) -> None:
    config = of_own(make_config, npz(tmp_path, test_labels=(0, 1, 2, 3)))
    assert data_notes(config, PLANNER.load(config)) == [
        "classes without a training image, in the test split: 2, 3"
    ]
    known = of_own(make_config, npz(tmp_path))
    assert not data_notes(known, PLANNER.load(known))


def test_an_empty_class_folder_is_named(
    make_config: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draws = np.random.default_rng(0)
    for name, n in (("cat", 30), ("dog", 30), ("eel", 0)):
        (tmp_path / "animals" / name).mkdir(parents=True)
        for i in range(n):
            pixels = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "animals" / name / f"{i}.png")
    root = f"dataset.root={tmp_path / 'animals'}"
    sizes = ("dataset.image_size=8", "dataset.batch_size=8")
    config = make_config("dataset=folder", "encoder=resnet_small", root, *sizes)
    assert PLANNER.load(config).train.n_classes == 2
    assert capsys.readouterr().err == (
        f"jepa_lab: {root}: no image in the class folders eel, which are no classes\n"
    )


@pytest.mark.parametrize("encoder", ["resnet_small", "pixels"])
def test_images_of_one_pixel_are_refused_with_the_least_size(
    encoder: str, make_config: Make, tmp_path: Path
) -> None:
    config = of_own(make_config, npz(tmp_path, size=1), encoder)
    with pytest.raises(
        UserError, match=rf"^encoder={encoder}: takes views of 4x4 pixels or larger"
    ):
        STUDY.build(config, PLANNER.load(config))
    build_encoder(encoder, in_channels=1, image_size=LEAST_SIZE)
