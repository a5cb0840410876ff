from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_lab.data.rendered_views import absolute, compose, draw_views, inverse, read_rendered, relative
from jepa_lab.data.rotations_3d import between, from_euler
from jepa_lab.errors import UserError

K = 3


def latent(class_id: int, i: int, k: int) -> np.ndarray:
    return np.array([0.1 * k, -0.2 * i, 0.3, 0.1 * class_id, 0.5, 0.6, 0.1 * k])


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """Two classes of ten objects with three views; the grey of an image is 20 * view + object."""
    for class_id, name in enumerate(("chair", "table")):
        for i in range(10):
            folder = tmp_path / name / f"object{i}"
            folder.mkdir(parents=True)
            for k in range(K):
                Image.new("RGB", (16, 16), (20 * k + i,) * 3).save(folder / f"image_{k}.jpg", quality=95)
                np.save(folder / f"latent_{k}.npy", latent(class_id, i, k))
    return tmp_path


def test_objects_are_divided_by_a_hash_of_their_folders(objects: Path) -> None:
    parts = read_rendered(str(objects), K)
    assert [len(parts[name].objects) for name in ("train", "val", "test")] == [16, 2, 2]
    assert len({name for part in parts.values() for name in part.objects}) == 20


def test_published_lists_say_which_objects_test(objects: Path) -> None:
    names = [f"{c}/object{i}" for c in ("chair", "table") for i in range(10)]
    np.save(objects / "train_images.npy", np.array(names[:14]))
    np.save(objects / "val_images.npy", np.array(names[14:]))
    parts = read_rendered(str(objects), K)
    assert set(parts["test"].objects) == set(names[14:])
    assert set(parts["train"].objects) | set(parts["val"].objects) == set(names[:14])
    assert len(parts["val"].objects) == 1


def test_labels_latents_and_images_belong_to_their_objects(objects: Path) -> None:
    part = read_rendered(str(objects), K)["train"]
    index, views = torch.arange(4), torch.tensor([[2, 0], [1, 2], [0, 1], [2, 1]])
    images = part.images(index, views, size=8)
    assert images.shape == (4, 2, 3, 8, 8)
    for b in range(4):
        name, number = part.objects[b].split("/object")
        class_id = ["chair", "table"].index(name)
        assert int(part.labels[b]) == class_id
        for v, k in enumerate(views[b].tolist()):
            np.testing.assert_allclose(part.latents[b, k], latent(class_id, int(number), k), rtol=1e-6)
            assert abs(float(images[b, v].float().mean()) - (20 * k + int(number))) <= 1


def test_the_views_of_an_object_are_distinct_and_uniform_and_more_of_them_begin_alike() -> None:
    key = {"seed": 0, "split": "train", "epoch": 1}
    views = draw_views(torch.arange(2000), 5, 10, **key)
    assert bool((views.sort(1).values.diff(dim=1) > 0).all())
    share = torch.bincount(views[:, 2], minlength=10) / 2000
    torch.testing.assert_close(share, torch.full((10,), 0.1), atol=0.03, rtol=0)
    assert torch.equal(draw_views(torch.arange(50, 60), 3, 10, **key), views[50:60, :3])
    val = [draw_views(torch.arange(9), 3, 10, seed=0, split="val", epoch=e) for e in (0, 1)]
    assert torch.equal(*val)
    with pytest.raises(ValueError, match="11 distinct views of 10"):
        draw_views(torch.arange(2), 11, 10, **key)


def latents(n: int = 40) -> torch.Tensor:
    return torch.rand(n, 7) * 3 - 1.5


def test_codes_hold_what_their_type_names() -> None:
    a, b = latents(), latents()
    rotation, hues = between(from_euler(a[:, :3]), from_euler(b[:, :3])), b[:, [3, 6]] - a[:, [3, 6]]
    assert torch.equal(relative(a, b, "rot"), rotation)
    assert torch.equal(relative(a, b, "color"), hues)
    assert torch.equal(relative(a, b, "rotcolor"), torch.cat([rotation, hues], 1))
    assert torch.equal(absolute(a, "rotcolor"), torch.cat([from_euler(a[:, :3]), a[:, [3, 6]]], 1))


@pytest.mark.parametrize("latent_type", ["rot", "color", "rotcolor"])
def test_actions_can_be_undone_and_follow_each_other(latent_type: str) -> None:
    a, b, c = latents().double(), latents().double(), latents().double()
    there, on = relative(a, b, latent_type), relative(b, c, latent_type)
    torch.testing.assert_close(inverse(there), relative(b, a, latent_type))
    torch.testing.assert_close(compose(there, on), relative(a, c, latent_type))


@pytest.mark.parametrize(("shape", "latent_type"), [((4, 6), "rot"), ((4, 7), "all")])
def test_other_latents_and_types_are_refused(shape: tuple[int, int], latent_type: str) -> None:
    with pytest.raises(ValueError, match="rot, color, rotcolor"):
        absolute(torch.zeros(shape), latent_type)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("image_1.jpg", None, "image_1.jpg is missing"),
        ("latent_2.npy", None, "latent_2.npy is missing"),
        ("latent_0.npy", np.ones(6), "7 finite latents"),
        ("latent_0.npy", np.full(7, np.nan), "7 finite latents"),
    ],
)
def test_a_missing_or_broken_file_is_named(objects: Path, file: str, content: np.ndarray | None, says: str) -> None:
    path = objects / "chair" / "object4" / file
    path.unlink()
    if content is not None:
        np.save(path, content)
    with pytest.raises(UserError, match=f"object4.{file}.*" + says.replace(f"{file} ", "")) as error:
        read_rendered(str(objects), K)
    assert "\n" not in str(error.value)


def test_a_folder_without_objects_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no train objects"):
        read_rendered(str(tmp_path), K)
    with pytest.raises(UserError, match="no such folder"):
        read_rendered(str(tmp_path / "absent"), K)
