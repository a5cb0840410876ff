from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
from jepa_lab.data.images.arrays import Arrays
from jepa_lab.data.images.rendered_objects import read_rendered
from jepa_lab.errors import UserError
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from study_parts import load_data

K = 6
CLASSES = ("chair", "table")
NAMES = [f"{name}/object{i}" for name in CLASSES for i in range(15)]


def latent(number: int, k: int) -> np.ndarray:
    return np.sin(np.arange(1, 8) * (number * K + k + 1.0))


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """Two classes of 15 objects with six renderings. The grey level of rendering k is 30 * k + the
    number of the object."""
    top = tmp_path / "3DIEBench"
    for number, name in enumerate(NAMES):
        (top / name).mkdir(parents=True)
        for k in range(K):
            Image.new("RGB", (16, 16), (30 * k + number,) * 3).save(
                top / name / f"image_{k}.jpg", quality=95
            )
            np.save(top / name / f"latent_{k}.npy", latent(number, k))
    return top


def numbers(part: Arrays) -> list[int]:
    """Returns the object of every row, from the grey level of its first rendering."""
    return part.images[:, :3].float().mean((1, 2, 3)).round().long().tolist()


def test_objects_are_divided_by_a_hash_of_their_folders(objects: Path) -> None:
    parts = read_rendered(str(objects), 8)
    assert [len(parts[name].images) for name in ("train", "val", "test")] == [24, 3, 3]
    assert sorted(n for part in parts.values() for n in numbers(part)) == list(range(30))


def test_published_lists_determine_the_test_objects(objects: Path) -> None:
    np.save(objects / "train_images.npy", np.array([f"/{name}" for name in NAMES[:21]]))
    np.save(objects / "val_images.npy", np.array(NAMES[21:]))
    parts = read_rendered(str(objects), 8)
    assert numbers(parts["test"]) == sorted(range(21, 30), key=lambda n: NAMES[n])
    assert sorted(numbers(parts["train"]) + numbers(parts["val"])) == list(range(21))
    assert len(parts["val"].images) == 2


def test_labels_latents_and_renderings_belong_to_their_objects(objects: Path) -> None:
    part = read_rendered(str(objects), 8)["train"]
    assert part.images.shape == (24, K * 3, 8, 8)
    assert part.latents is not None
    assert part.labels is not None
    greys = part.images.unflatten(1, (K, 3)).float().mean((2, 3, 4))
    for row, number in enumerate(numbers(part)):
        assert int(part.labels[row]) == CLASSES.index(NAMES[number].split("/")[0])
        for k in range(K):
            np.testing.assert_allclose(part.latents[row, k], latent(number, k), rtol=1e-6)
            assert abs(float(greys[row, k]) - (30 * k + number)) <= 1


def test_objects_that_are_not_kept_are_not_read(objects: Path) -> None:
    every = numbers(read_rendered(str(objects), 8)["train"])
    parts = read_rendered(str(objects), 8, train_size=5, val_size=2)
    assert [len(parts[name].images) for name in ("train", "val", "test")] == [5, 2, 2]
    kept = [n for part in parts.values() for n in numbers(part)]
    assert set(numbers(parts["train"])) < set(every)
    for number in set(range(30)) - set(kept):
        (objects / NAMES[number] / "image_0.jpg").write_bytes(b"no image")
    assert torch.equal(
        read_rendered(str(objects), 8, train_size=5, val_size=2)["train"].images,
        parts["train"].images,
    )


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("image_1.jpg", None, "is missing"),
        ("latent_2.npy", None, "is missing; every object has 6 views"),
        ("latent_0.npy", np.ones(6), "7 finite latents"),
        ("latent_0.npy", np.full(7, np.nan), "7 finite latents"),
        ("latent_0.npy", np.full(7, 1e300), "7 finite latents"),
        ("latent_0.npy", np.zeros(7, dtype=[("yaw", float)]), "7 finite latents"),
        ("latent_0.npy", np.zeros(7, dtype=object), "not a readable .npy"),
    ],
)
def test_a_missing_or_broken_file_is_named(
    objects: Path, file: str, content: np.ndarray | None, message: str
) -> None:
    path = objects / "chair" / "object4" / file
    path.unlink()
    if content is not None:
        np.save(path, content)
    with pytest.raises(UserError, match=f"object4.{file} .*{message}") as error:
        read_rendered(str(objects), 8)
    assert "\n" not in str(error.value)


def test_latents_of_any_byte_order_and_shape_are_the_same_and_an_archive_is_refused(
    objects: Path,
) -> None:
    plain = read_rendered(str(objects), 8)["train"].latents
    for path in objects.rglob("latent_*.npy"):
        np.save(path, np.load(path).astype(">f8").reshape(1, 7))
    again = read_rendered(str(objects), 8)["train"].latents
    assert plain is not None
    assert again is not None
    assert torch.equal(again, plain)
    with path.open("wb") as file:
        np.savez(file, yaw=np.ones(7))
    with pytest.raises(UserError, match=r"is not a readable \.npy but an \.npz"):
        read_rendered(str(objects), 8)


@pytest.mark.parametrize("names", [np.arange(3), np.array([b"\xff/object0"])])
def test_a_list_that_names_no_folder_is_one_line(objects: Path, names: np.ndarray) -> None:
    np.save(objects / "train_images.npy", names)
    np.save(objects / "val_images.npy", np.array(NAMES[21:]))
    with pytest.raises(
        UserError, match=r"a list of folders|is missing|no (train|val) objects"
    ) as error:
        read_rendered(str(objects), 8)
    assert "\n" not in str(error.value)


def test_the_error_for_a_folder_without_objects_has_the_layout_and_the_source(
    tmp_path: Path,
) -> None:
    for top, message in ((tmp_path, "no train objects"), (tmp_path / "absent", "no such folder")):
        with pytest.raises(
            UserError,
            match=rf"{message}; expected <class>/<object>/image_<k>.jpg .*facebookresearch/SIE",
        ):
            read_rendered(str(top))


def test_objects_beyond_the_memory_limit_are_refused_before_they_are_read(objects: Path) -> None:
    with pytest.raises(
        UserError, match=r"20 samples at 9000 pixels take 29.2 GB .* lower dataset.train_size"
    ) as error:
        read_rendered(str(objects), 9000, train_size=16, val_size=2)
    assert "dataset.image_size" in str(error.value)
    assert "\n" not in str(error.value)


def overrides(root: Path) -> list[str]:
    small = [
        "encoder=resnet_small",
        "model=seq_jepa_small",
        "dataset.image_size=16",
        "dataset.epochs=1",
    ]
    return ["dataset=3diebench", f"dataset.root={root}", *small, "dataset.batch_size=8"]


@pytest.mark.parametrize(("latent_type", "width"), [("rot", 4), ("rotcolor", 6)])
def test_a_run_trains_on_rendered_objects(
    objects: Path, make_config: Callable[..., Config], latent_type: str, width: int
) -> None:
    result = train(make_config(*overrides(objects), f"dataset.latent_type={latent_type}"))
    assert result.state == "completed"
    assert result.module is not None
    assert result.module.network.action_projection.linear.in_features == width
    assert np.isfinite(result.metrics["test/probe/action_from_z"])


def test_the_fingerprint_depends_on_the_latents(
    objects: Path, make_config: Callable[..., Config]
) -> None:
    before = load_data(make_config(*overrides(objects)))
    assert before.train.mean == (0.5016, 0.5037, 0.5060)
    for name in NAMES:
        np.save(objects / name / "latent_3.npy", np.zeros(7))
    assert (
        load_data(make_config(*overrides(objects))).train.fingerprint()
        != before.train.fingerprint()
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["dataset=3diebench"], "dataset.root is missing: .*github.com/facebookresearch/SIE"),
        (
            ["dataset=3diebench", "dataset.root=x", "dataset.first_view=reference"],
            "renderings have no reference view",
        ),
        (
            ["dataset=3diebench", "dataset.root=x", "dataset.eval_first_view=reference"],
            "eval_first_view=reference",
        ),
        (
            ["dataset=3diebench", "dataset.root=x", "dataset.latent_type=all"],
            "rot, color, rotcolor",
        ),
        (
            ["dataset=3diebench", "dataset.root=x", "dataset.views=rotation"],
            "3diebench has no other views",
        ),
        (
            ["dataset=digits_rot", "+dataset.latent_type=rot"],
            "dataset.latent_type=rot: dataset.views=rotation",
        ),
        (["dataset=digits_rot", "dataset.views=rendered"], "rendered views need 3diebench"),
    ],
)
def test_an_impossible_configuration_is_refused(
    make_config: Callable[..., Config], given: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        make_config(*given, "encoder=resnet_small")
    assert "\n" not in str(error.value)


def test_more_views_than_renderings_are_refused(
    objects: Path, make_config: Callable[..., Config]
) -> None:
    with pytest.raises(UserError, match="n_views=7: must not exceed 6"):
        train(make_config(*overrides(objects), "dataset.n_views=7"))
