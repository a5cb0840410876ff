"""Images that do not fit into memory are decoded once into a cache on disk. What is read from it
are the images that memory would hold, and whatever goes wrong with it is one line."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_lab.data.images import folder_images, image_files, shards, streaming
from jepa_lab.data.images.image_source import Splits, load_splits
from jepa_lab.data.images.streaming import StreamedImages, Streaming
from jepa_lab.errors import UserError
from jepa_lab.files import array_rows

N = 60
SEVEN = np.arange(N) % 7
KINDS = ["npz", "packed npz", "divided npz", "npy", "folder", "divided folder", "unlabelled folder"]
PARTS = {"train": slice(0, 40), "val": slice(40, 48), "test": slice(48, N)}


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def paint(folder: Path, images: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:03d}.png")


def written(kind: str, top: Path) -> dict[str, Any]:
    """Writes images of a kind and returns the options that read them."""
    images = pixels(N, 8, 8, 3)
    if kind == "npy":
        np.save(top / "x.npy", images)
        return {"source": "npz", "path": str(top / "x.npy")}
    if kind.endswith("npz"):
        arrays = {"images": images, "labels": SEVEN}
        if kind == "divided npz":
            arrays = {
                f"{name}_{k}": x[rows] for name, rows in PARTS.items() for k, x in arrays.items()
            }
        (np.savez_compressed if kind == "packed npz" else np.savez)(top / "x.npz", **arrays)
        return {"source": "npz", "path": str(top / "x.npz")}
    for name, rows in PARTS.items() if kind == "divided folder" else (("", slice(None)),):
        for label in range(7) if kind != "unlabelled folder" else (0,):
            chosen = images[rows][SEVEN[rows] == label] if kind != "unlabelled folder" else images
            paint(top / "x" / name / ("" if kind == "unlabelled folder" else f"c{label}"), chosen)
    return {"source": "folder", "root": str(top / "x"), "image_size": 8}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Streaming:
    """Streams everything, with seven images in a file."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 7 * 192)
    monkeypatch.setattr(array_rows, "BLOCK", 5 * 192)
    return Streaming(0.0, str(tmp_path / "cache"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded."""
    paths: list[str] = []
    read = folder_images.read_image

    def counting(path: Path, *rest: Any) -> torch.Tensor:
        paths.append(path.name)
        return read(path, *rest)

    monkeypatch.setattr(folder_images, "read_image", counting)
    return paths


def require_same(streamed: Splits, whole: Splits) -> None:
    for name, part in vars(whole).items():
        other = getattr(streamed, name)
        assert isinstance(other.images, StreamedImages)
        assert tuple(other.images.shape) == tuple(part.images.shape)
        assert torch.equal(other.images[:], part.images)
        some = torch.tensor([3, 0, 2, 2])
        assert torch.equal(other.images[some], part.images[some])
        assert (other.labels is None) == (part.labels is None)
        assert other.labels is None or torch.equal(other.labels, part.labels)
        assert (other.mean, other.std) == (part.mean, part.std)
        assert (other.n_classes, other.class_names) == (part.n_classes, part.class_names)
        assert other.fingerprint() == part.fingerprint()


@pytest.mark.parametrize("sizes", [(None, None), (12, 5), (500, 500)])
@pytest.mark.parametrize("kind", KINDS)
def test_streamed_images_are_those_that_memory_would_hold(
    kind: str,
    sizes: tuple[int | None, int | None],
    cache: Streaming,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = written(kind, tmp_path) | {"train_size": sizes[0], "val_size": sizes[1]}
    whole = load_splits(**given)
    require_same(load_splits(**given, streaming=cache), whole)
    assert len(list((tmp_path / "cache").iterdir())) == 1

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("an image is read from its source")

    monkeypatch.setattr(array_rows.ArrayRows, "blocks", fail)
    monkeypatch.setattr(array_rows.ArrayRows, "take", fail)
    monkeypatch.setattr(image_files, "open_named", fail)
    monkeypatch.setattr(folder_images, "read_image", fail)
    require_same(load_splits(**given, streaming=cache), whole)


def test_images_that_fit_are_held_in_memory(cache: Streaming, tmp_path: Path) -> None:
    given = written("npz", tmp_path)
    n_bytes = N * 192
    for limit, streams in ((n_bytes, False), (n_bytes - 1, True)):
        found = load_splits(**given, streaming=Streaming(limit / 1e9, cache.folder))
        assert isinstance(found.train.images, StreamedImages) == streams
    few = load_splits(**given, train_size=3, val_size=3, streaming=Streaming(12 * 192 / 1e9))
    assert isinstance(few.train.images, torch.Tensor)


def test_of_folders_of_splits_only_the_images_that_a_run_keeps_are_decoded(
    cache: Streaming, tmp_path: Path, decoded: list[str]
) -> None:
    given = written("divided folder", tmp_path)
    load_splits(**given, train_size=5, val_size=3, streaming=cache)
    assert len(decoded) == 5 + 3 + 12


def test_one_cache_of_a_folder_that_a_hash_divides_serves_every_size(
    cache: Streaming, tmp_path: Path, decoded: list[str]
) -> None:
    given = written("folder", tmp_path)
    for size in (None, 5, 9):
        load_splits(**given, train_size=size, streaming=cache)
    assert len(decoded) == N


def test_notes_are_printed_whether_the_cache_is_new_or_not(
    cache: Streaming, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dark = (pixels(N, 8, 8) // 16).clip(0, 9)
    np.savez(tmp_path / "x.npz", images=dark)
    deep = np.arange(N * 64, dtype=np.uint16).reshape(N, 8, 8) * 16
    (tmp_path / "x").mkdir()
    for i, image in enumerate(deep):
        Image.fromarray(image).save(tmp_path / "x" / f"{i:03d}.png")
    lines = {
        "npz": "the brightest pixel is 9 of 255",
        "folder": "60 of 60 images have values of more than 8 bits",
    }
    for source, line in lines.items():
        key = "path" if source == "npz" else "root"
        given = {"source": source, key: str(tmp_path / ("x.npz" if key == "path" else "x"))}
        for begins in ("decoded once into", ""):
            load_splits(**given, streaming=cache)
            err = capsys.readouterr().err
            assert line in err
            assert ("decoded once into" in err) == bool(begins)


BUILD = """
import os, signal, sys
from jepa_lab.data.images import folder_images, shards
from jepa_lab.data.images.image_source import load_splits
from jepa_lab.data.images.streaming import Streaming
shards.SHARD_BYTES, left = 7 * 192, [int(sys.argv[3])]
read = folder_images.read_image
folder_images.DECODED = 1
def counting(*given):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(*given)
folder_images.read_image = counting
load_splits("folder", root=sys.argv[1], image_size=8, streaming=Streaming(0.0, sys.argv[2]))
"""


def test_a_killed_process_is_continued(
    cache: Streaming, tmp_path: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = written("folder", tmp_path)
    command = [sys.executable, "-c", BUILD, given["root"], str(cache.folder), "25"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    (folder,) = Path(str(cache.folder)).iterdir()
    (folder / "shard-00003.u8.0123abcd.part").write_bytes(b"half")
    found = load_splits(**given, streaming=cache)
    assert len(decoded) == N - 21  # three files of seven images are complete
    assert "21 are there already" in capsys.readouterr().err
    assert not list(folder.glob("*.part"))
    require_same(found, load_splits(**given))


def test_two_processes_decode_once(
    cache: Streaming,
    tmp_path: Path,
    decoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given, read = written("folder", tmp_path), folder_images.read_image

    def slow(*rest: Any) -> torch.Tensor:
        time.sleep(0.01)
        return read(*rest)

    monkeypatch.setattr(folder_images, "read_image", slow)
    found: list[Splits] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_splits(**given, streaming=cache)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded) == N
    assert "another process decodes these images" in capsys.readouterr().err
    monkeypatch.undo()
    for one in found:
        require_same(one, load_splits(**given))


def cut(folder: Path) -> None:
    with open(folder / "shard-00002.u8", "rb+") as file:
        file.truncate(500)


def changed(folder: Path) -> None:
    content = bytearray((folder / "shard-00002.u8").read_bytes())
    content[100] ^= 1
    (folder / "shard-00002.u8").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, r"shard-00002\.u8 has 500 of 1,344 bytes"),
        (changed, r"shard-00002\.u8 has other bytes than were written"),
        (lambda x: (x / "shard-00001.u8").unlink(), r"shard-00001\.u8 is missing"),
        (lambda x: (x / "shard-00001.keys").unlink(), r"shard-00001\.keys is missing or cut"),
        (lambda x: (x / "index.json").write_text("{"), r"index\.json cannot be read"),
        (lambda x: (x / "index.json").write_text("[1]"), r"index\.json cannot be read"),
    ],
    ids=["cut", "changed", "missing", "no keys", "half an index", "another index"],
)
def test_a_damaged_cache_is_named_and_built_again_when_it_is_deleted(
    damage: Callable[[Path], Any], reason: str, cache: Streaming, tmp_path: Path
) -> None:
    given = written("folder", tmp_path)
    load_splits(**given, streaming=cache)
    (folder,) = Path(str(cache.folder)).iterdir()
    damage(folder)
    with pytest.raises(UserError, match=f"{folder}: this cache of images is damaged.*{reason}"):
        load_splits(**given, streaming=cache)
    shutil.rmtree(folder)
    require_same(load_splits(**given, streaming=cache), load_splits(**given))


def test_a_file_that_is_cut_while_a_run_reads_it_is_an_error(
    cache: Streaming, tmp_path: Path
) -> None:
    found = load_splits(**written("npz", tmp_path), streaming=cache)
    (folder,) = Path(str(cache.folder)).iterdir()
    cut(folder)
    with pytest.raises(UserError, match=r"damaged \(shard-00002\.u8 is cut short\)"):
        found.train.images[torch.arange(len(found.train.images))]
    (folder / "shard-00002.u8").unlink()
    with pytest.raises(UserError, match=r"damaged \(shard-00002\.u8 cannot be read"):
        found.train.images[:]


def test_a_copied_cache_is_checked_once_and_used(
    cache: Streaming, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = written("folder", tmp_path)
    load_splits(**given, streaming=cache)
    shutil.copytree(tmp_path / "cache", tmp_path / "copy", copy_function=shutil.copyfile)
    copy = Streaming(0.0, str(tmp_path / "copy"))
    require_same(load_splits(**given, streaming=copy), load_splits(**given))
    monkeypatch.setattr(shards, "read_keys", lambda folder, shard, n: pytest.fail("checked again"))
    shards.Shards.open(next((tmp_path / "copy").iterdir()))


@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_changed_files_get_a_cache_of_their_own_and_the_earlier_one_is_named(
    kind: str, cache: Streaming, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = written(kind, tmp_path)
    load_splits(**given, streaming=cache)
    (earlier,) = Path(str(cache.folder)).iterdir()
    other = 255 - pixels(N, 8, 8, 3)
    if kind == "npz":
        np.savez(tmp_path / "x.npz", images=other, labels=SEVEN)
    else:
        for label in range(7):
            paint(tmp_path / "x" / f"c{label}", other[label == SEVEN])
    capsys.readouterr()
    found = load_splits(**given, streaming=cache)
    err = capsys.readouterr().err
    assert f"earlier caches of it in {cache.folder} take 0.0 MB; delete" in err
    assert f": {earlier.name}\n" in err
    require_same(found, load_splits(**given))


def test_a_file_that_changes_while_the_images_are_decoded_is_named(
    cache: Streaming, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, read = written("folder", tmp_path), folder_images.read_image

    def touching(path: Path, *rest: Any) -> torch.Tensor:
        if path.name == "004.png":
            os.utime(path, ns=(1, 1))
        return read(path, *rest)

    monkeypatch.setattr(folder_images, "read_image", touching)
    with pytest.raises(UserError, match=r"c0/004\.png has changed while the images were decoded"):
        load_splits(**given, streaming=cache)


def test_an_image_that_cannot_be_decoded_is_named(cache: Streaming, tmp_path: Path) -> None:
    given = written("folder", tmp_path)
    path = tmp_path / "x" / "c3" / "002.png"
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(UserError, match=r"c3/002\.png is not a readable image; repair or remove"):
        load_splits(**given, streaming=cache)


def test_a_damaged_npz_is_named(cache: Streaming, tmp_path: Path) -> None:
    given = written("npz", tmp_path)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[content.index(pixels(N, 8, 8, 3)[50].tobytes())] ^= 1
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"not a readable \.npz \(.*Bad CRC"):
        load_splits(**given, streaming=cache)
    assert not list(Path(str(cache.folder)).glob("*/index.json"))


def test_a_disk_without_room_is_named_before_an_image_is_decoded(
    cache: Streaming, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(streaming.shutil, "disk_usage", lambda _: usage(9, 9, 11_519))
    with pytest.raises(UserError, match=r"dataset\.cache=.* and 0\.0 MB are free there"):
        load_splits(**written("folder", tmp_path), streaming=cache)
    assert not decoded


def test_a_disk_that_fills_up_is_named_and_the_same_command_continues(
    cache: Streaming, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, writes, fsync = written("folder", tmp_path), [0], os.fsync

    def filling(file: int) -> None:
        writes[0] += 1
        if writes[0] == 8:  # the fourth file of images
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    monkeypatch.setattr(shards.os, "fsync", filling)
    with pytest.raises(UserError, match=r"cannot write .*shard-00003\.u8 \(No space left on dev"):
        load_splits(**given, streaming=cache)
    (folder,) = Path(str(cache.folder)).iterdir()
    assert not list(folder.glob("*.part"))
    decoded.clear()
    require_same(load_splits(**given, streaming=cache), load_splits(**given))
    assert len(set(decoded)) > 0
    assert shards.Shards.open(folder).shape[0] == N


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a_file").write_text("mine")
    given = written("npz", tmp_path)
    with pytest.raises(UserError, match=r"dataset\.cache=.*a_file: cannot write .*a_file"):
        load_splits(**given, streaming=Streaming(0.0, str(tmp_path / "a_file")))


def test_a_cache_in_the_folder_of_the_images_is_refused(tmp_path: Path) -> None:
    given = written("folder", tmp_path)
    inside = tmp_path / "x" / "cache"
    with pytest.raises(UserError, match=r"lies in the folder of the images; name another"):
        load_splits(**given, streaming=Streaming(0.0, str(inside)))
    assert not inside.exists()


@pytest.mark.parametrize(("given", "under"), [("set", "set"), ("", "home/.cache"), ("rel", None)])
def test_the_cache_lies_where_the_system_keeps_caches(
    given: str, under: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / given) if given == "set" else given)
    assert Streaming(2.0).top == tmp_path / (under or "home/.cache") / "jepa_lab"
