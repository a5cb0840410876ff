"""Images that a run does not keep take no memory: which are kept is decided before they are read,
and the images are those of an array that is read whole."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_lab.data.images import folder_images, image_files, memory_limit, unread
from jepa_lab.data.images.arrays import Arrays
from jepa_lab.data.images.image_source import Splits, load_splits
from jepa_lab.data.images.unread import moved_to_front
from jepa_lab.errors import UserError
from jepa_lab.files import array_rows
from jepa_lab.files.array_rows import ArrayRows
from jepa_lab.process.command import run_command

N = 60
SEVEN = np.arange(N) % 7
SIZES = [(None, None), (12, 3), (12, None), (None, 3), (500, 500)]


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def by_hash(images: np.ndarray) -> dict[str, np.ndarray]:
    """The positions of an 80/10/10 split of distinct images, written out."""
    order = np.argsort([hashlib.blake2b(x.tobytes(), digest_size=16).hexdigest() for x in images])
    n = len(images) // 10
    first = len(images) - 2 * n
    return {
        "train": np.sort(order[:first]),
        "val": np.sort(order[first : first + n]),
        "test": np.sort(order[first + n :]),
    }


def drawn(rows: np.ndarray, size: int | None, seed: int = 0) -> np.ndarray:
    """`size` of the positions, written out."""
    if size is None or size >= len(rows):
        return rows
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).numpy()
    return rows[np.sort(order[:size])]


def require_equal(splits: Splits, name: str, images: np.ndarray, labels: np.ndarray) -> None:
    source = getattr(splits, name)
    assert np.array_equal(source.images.numpy(), images)
    assert source.images.is_contiguous()
    assert source.labels.tolist() == labels.tolist()
    assert source.n_classes == 7


@pytest.fixture(params=["held", "read again"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small files are held while they are hashed, others are read again."""
    if request.param == "read again":
        monkeypatch.setattr(unread, "HELD_BYTES", 0)
    return str(request.param)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x,
        lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)),
        np.asfortranarray,
        lambda x: x.transpose(0, 2, 3, 1),
    ],
    ids=["channels first", "channels last", "fortran", "transposed"],
)
def test_images_of_an_npz_are_those_of_numpy_load(
    layout: Callable[[np.ndarray], np.ndarray],
    save: Callable[..., None],
    sizes: tuple[int | None, int | None],
    held: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(array_rows, "BLOCK", 500)  # several blocks
    images = pixels(N, 3, 5, 5)
    save(tmp_path / "x.npz", images=layout(images), labels=SEVEN)
    train_size, val_size = sizes
    splits = load_splits(
        "npz", path=str(tmp_path / "x.npz"), train_size=train_size, val_size=val_size
    )
    limits = {"train": train_size, "val": val_size, "test": None}
    for name, rows in by_hash(images).items():
        chosen = drawn(rows, limits[name])
        require_equal(splits, name, images[chosen], SEVEN[chosen])


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("with_val", [False, True])
def test_given_splits_of_an_npz_are_those_of_numpy_load(
    with_val: bool, save: Callable[..., None], sizes: tuple[int | None, int | None], tmp_path: Path
) -> None:
    train, test, val = (pixels(n, 4, 4, seed=n) for n in (50, 21, 14))
    arrays = {"train": train, "test": test, **({"val": val} if with_val else {})}
    named = {f"{name}_images": x for name, x in arrays.items()}
    named |= {f"{name}_labels": np.arange(len(x)) % 7 for name, x in arrays.items()}
    save(tmp_path / "x.npz", **named)
    train_size, val_size = sizes
    splits = load_splits(
        "npz", path=str(tmp_path / "x.npz"), train_size=train_size, val_size=val_size
    )
    rest, held_out = np.arange(50), np.arange(14)
    if not with_val:
        n = min(val_size or 5, 25)
        order = torch.randperm(50, generator=torch.Generator().manual_seed(0)).numpy()
        rest, held_out = np.sort(order[n:]), np.sort(order[:n])
    kept = drawn(rest, train_size)
    require_equal(splits, "train", train[kept][:, None], kept % 7)
    kept = drawn(held_out, val_size)
    require_equal(splits, "val", (val if with_val else train)[kept][:, None], kept % 7)
    require_equal(splits, "test", test[:, None], np.arange(21) % 7)


def paint(folder: Path, images: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:03d}.png")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are decoded, in order."""
    paths: list[Path] = []
    read = folder_images.read_image

    def counting(path: Path, *rest: Any, **options: Any) -> torch.Tensor:
        paths.append(path)
        return read(path, *rest, **options)

    monkeypatch.setattr(folder_images, "read_image", counting)
    return paths


@pytest.mark.parametrize("sizes", SIZES)
def test_images_of_a_folder_are_those_of_its_files(
    sizes: tuple[int | None, int | None], held: str, tmp_path: Path, decoded: list[Path]
) -> None:
    images = pixels(N, 8, 8, 3)
    for label in range(7):
        paint(tmp_path / f"class {label}", images[label == SEVEN])
    listed = np.concatenate([np.flatnonzero(label == SEVEN) for label in range(7)])
    train_size, val_size = sizes
    splits = load_splits(
        "folder", root=str(tmp_path), image_size=8, train_size=train_size, val_size=val_size
    )
    limits = {"train": train_size, "val": val_size, "test": None}
    expected = images[listed].transpose(0, 3, 1, 2)
    n_kept = 0
    for name, rows in by_hash(expected).items():
        chosen = drawn(rows, limits[name])
        require_equal(splits, name, expected[chosen], SEVEN[listed][chosen])
        n_kept += len(chosen)
    again = held == "read again" and n_kept < N / unread.HELD_RATIO
    assert len(decoded) == N + (n_kept if again else 0)


def test_of_folders_of_splits_only_the_images_that_a_run_keeps_are_decoded(
    tmp_path: Path, decoded: list[Path]
) -> None:
    for part, n in (("train", 40), ("test", 4)):
        for label in range(2):
            paint(tmp_path / part / f"{label}", pixels(n, 8, 8, 3, seed=n + label))
    splits = load_splits("folder", root=str(tmp_path), image_size=8, train_size=5, val_size=3)
    assert [len(x.images) for x in (splits.train, splits.val, splits.test)] == [5, 3, 8]
    assert len(decoded) == len(set(decoded)) == 16


def test_of_tiny_imagenet_only_the_images_that_a_run_keeps_are_decoded(
    tmp_path: Path, decoded: list[Path]
) -> None:
    names = ("n02", "n01", "n03")
    for name in names:
        paint(tmp_path / "train" / name / "images", pixels(10, 64, 64, 3))
    paint(tmp_path / "val" / "images", pixels(6, 64, 64, 3))
    (tmp_path / "wnids.txt").write_text("\n".join(names))
    rows = [f"{i:03d}.png\t{names[i % 3]}\n" for i in range(6)]
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(rows))
    splits = load_splits("tinyimagenet", root=str(tmp_path), train_size=2, val_size=1)
    assert splits.train.n_classes == 3
    assert len(decoded) == 2 + 1 + 6


def test_an_npz_takes_the_memory_of_the_images_that_a_run_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pixels(5000, 64, 64)
    np.savez(tmp_path / "x.npz", train_images=images, test_images=images[:10])
    np.savez_compressed(tmp_path / "packed.npz", images=images)
    monkeypatch.setattr(unread, "HELD_BYTES", 0)
    for name in ("x", "packed"):
        tracemalloc.start()
        load_splits("npz", path=str(tmp_path / f"{name}.npz"), train_size=10, val_size=10)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 0.75 * images.nbytes, name  # blocks of 4 MB, of 20 MB


def test_damage_of_an_image_that_a_run_does_not_keep_is_found(tmp_path: Path) -> None:
    images = pixels(N, 8, 8)
    np.savez(tmp_path / "x.npz", train_images=images, test_images=images)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    at = content.index(images[50].tobytes())
    content[at] ^= 1
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"not a readable \.npz \(.*Bad CRC.*train_images"):
        load_splits("npz", path=str(tmp_path / "x.npz"), train_size=1, val_size=1)


def fail(*_: Any, **__: Any) -> Any:
    raise AssertionError("an image is read")


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for 45 images of 3 x 8 x 8 bytes."""
    monkeypatch.setattr(memory_limit, "memory_at_hand", lambda: 45.0 * 192)


@pytest.mark.usefixtures("small_limit")
def test_data_larger_than_the_memory_are_used_in_part(tmp_path: Path) -> None:
    images = pixels(600, 8, 8, 3)[:100]
    np.savez(tmp_path / "stored.npz", images=images)
    np.savez_compressed(tmp_path / "packed.npz", images=images)
    paint(tmp_path / "folder", images)
    for options in (
        {"source": "npz", "path": str(tmp_path / "stored.npz")},
        {"source": "npz", "path": str(tmp_path / "packed.npz")},
        {"source": "folder", "root": str(tmp_path / "folder"), "image_size": 8},
    ):
        splits = load_splits(**options, train_size=30, val_size=5)
        rows = by_hash(images.transpose(0, 3, 1, 2))
        chosen = drawn(rows["train"], 30)
        assert np.array_equal(splits.train.images.numpy(), images[chosen].transpose(0, 3, 1, 2))


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("kind", ["npz", "folder", "divided npz", "divided folder"])
def test_data_that_do_not_fit_are_refused_before_an_image_is_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = pixels(100, 8, 8, 3)
    parts = {"train": images[:80], "val": images[80:90], "test": images[90:]}
    given: dict[str, Any] = {"source": "npz", "path": str(tmp_path / "x.npz")}
    if kind == "npz":
        np.savez(tmp_path / "x.npz", images=images)
    elif kind == "divided npz":
        np.savez(tmp_path / "x.npz", **{f"{name}_images": x for name, x in parts.items()})
    else:
        given = {"source": "folder", "root": str(tmp_path / "x"), "image_size": 8}
        for name, part in parts.items() if kind == "divided folder" else (("", images),):
            paint(tmp_path / "x" / name, part)
    monkeypatch.setattr(ArrayRows, "blocks", fail)
    monkeypatch.setattr(image_files, "open_named", fail)
    monkeypatch.setattr(folder_images, "read_image", fail)
    with pytest.raises(SystemExit) as end:
        run_command(lambda: load_splits(**given))
    where = "root" if "folder" in kind else "path"
    other = "dataset.image_size=5" if "folder" in kind else "give fewer or smaller images"
    line = (
        f"jepa_lab: dataset.{where}={given[where]}: 100 images (with all 10 of the test split) at 8"
        " pixels take 0.0 MB of memory, more than the 0.0 MB allowed; dataset.train_size=25 or"
        f" less, or {other}{' or less' if 'folder' in kind else ''}\n"
    )
    assert (end.value.code, capsys.readouterr().err) == (2, line)


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "stl10", "digits"])
def test_a_public_set_that_does_not_fit_is_refused_before_it_is_read(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"of memory, more than the 0.0 MB allowed; "):
        load_splits(name, root=str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small_limit")
def test_values_that_the_refusal_names_fit(tmp_path: Path) -> None:
    paint(tmp_path / "x", pixels(100, 8, 8, 3))
    folder: dict[str, Any] = {"source": "folder", "root": str(tmp_path / "x")}
    assert len(load_splits(**folder, image_size=8, train_size=25).train.images) == 25
    assert len(load_splits(**folder, image_size=5).train.images) == 80
    for more in ({"image_size": 8, "train_size": 26}, {"image_size": 6}):
        with pytest.raises(UserError, match="of memory, more than"):
            load_splits(**folder, **more)


@pytest.mark.parametrize("size", [None, 10])
def test_a_transposed_array_of_an_own_source_is_copied_in_part(size: int | None) -> None:
    images = pixels(N, 5, 5, 3)
    parts = {x: Arrays(images.transpose(0, 3, 1, 2), None) for x in ("train", "val", "test")}
    splits = load_splits(lambda: parts, train_size=size, val_size=size)
    chosen = drawn(np.arange(N), size)
    for source, rows in ((splits.train, chosen), (splits.val, chosen), (splits.test, np.arange(N))):
        assert np.array_equal(source.images.numpy(), images[rows].transpose(0, 3, 1, 2))
        assert source.images.is_contiguous()


@pytest.mark.parametrize("rows", [[0, 1, 2], [4, 2, 0, 3, 1], [4, 0], [3, 4, 1, 0], []])
def test_images_are_moved_to_the_front_in_their_order(rows: list[int]) -> None:
    images = torch.arange(5 * 6).reshape(5, 2, 3)
    index = torch.tensor(rows, dtype=torch.long)
    expected = images[index]
    assert torch.equal(moved_to_front(images, index), expected)
    assert sorted(images[:, 0, 0].tolist()) == [0, 6, 12, 18, 24]
