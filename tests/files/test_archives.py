"""The directory of a zip archive has no checksum: damage in it is found by the headers of the
parts."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lab.callbacks.checkpoints import read_checkpoint, write_checkpoint
from jepa_lab.errors import UserError
from jepa_lab.files.arrays import read_npz
from jepa_lab.files.tensors import read_tensors
from jepa_lab.report.feature_files import read_feature_file

ATTRIBUTES = 38  # place of the attributes in an entry of the directory
Z, LABELS = np.arange(12.0).reshape(4, 3), np.arange(4)


def checkpoint(folder: Path) -> Path:
    write_checkpoint(
        folder / "last.ckpt", {"z": torch.from_numpy(Z), "labels": torch.arange(4), "step": 7}
    )
    return folder / "last.ckpt"


def arrays(folder: Path) -> Path:
    np.savez(folder / "features.npz", z=Z, labels=LABELS)
    return folder / "features.npz"


def packed(folder: Path) -> Path:
    np.savez_compressed(folder / "features.npz", z=Z, labels=LABELS)
    return folder / "features.npz"


def flipped(path: Path, place: int, bits: int) -> Path:
    content = bytearray(path.read_bytes())
    content[place] ^= bits
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (checkpoint, read_checkpoint),
        (checkpoint, read_tensors),
        (arrays, read_npz),
        (packed, read_npz),
    ],
)
def test_a_flipped_bit_of_the_directory_is_refused_or_changes_nothing(
    make: Callable[[Path], Path], read: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = make(tmp_path)
    whole, expected, refused = path.read_bytes(), read(path), 0
    places = range(whole.index(b"PK\x01\x02"), len(whole))
    for place in places:
        flipped(path, place, 1 << place % 8)
        try:
            found = read(path)
        except ValueError:
            refused += 1
        else:
            assert found.keys() == expected.keys(), place
            same = [np.array_equal(found[name], expected[name]) for name in expected]
            assert all(same), place
        path.write_bytes(whole)
    assert refused > len(places) / 4


@pytest.mark.parametrize("read", [read_checkpoint, read_tensors])
def test_a_part_that_is_marked_as_a_folder_is_refused(
    read: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = checkpoint(tmp_path)
    entry = path.read_bytes().index(b"PK\x01\x02")
    for _ in range(5):  # the program, three small parts, then the first tensor
        last, entry = entry, path.read_bytes().index(b"PK\x01\x02", entry + 4)
    flipped(path, last + ATTRIBUTES, 0x10)
    with pytest.raises(ValueError, match=r"^its directory is damaged$"):
        read(path)


def test_a_name_that_is_damaged_in_the_directory_alone_loses_no_array(tmp_path: Path) -> None:
    path = arrays(tmp_path)
    flipped(path, path.read_bytes().rindex(b"labels.npy"), 1)
    with pytest.raises(UserError, match=r"features.npz: .*its directory is damaged"):
        read_feature_file(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_parts_of_the_same_name_are_refused(tmp_path: Path) -> None:
    path = arrays(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("z.npy", archive.read("z.npy")[:-8] + b"\0" * 8)
    with pytest.raises(ValueError, match=r"the name 'z.npy' twice"):
        read_npz(path)


@pytest.mark.parametrize(
    ("make", "place", "content"),
    [
        (checkpoint, b"PK\x01\x02", b"PK\x01\x02\xff\xff\xff\xff"),
        (arrays, b"PK\x01\x02", b"PK\x01\x02\xff\xff\xff\xff"),
        (checkpoint, b"PK\x06\x07", b"PK\x06\x07\x01"),
    ],
    ids=["version", "version of arrays", "disk"],
)
def test_an_archive_of_another_kind_is_one_line(
    make: Callable[[Path], Path], place: bytes, content: bytes, tmp_path: Path
) -> None:
    path = make(tmp_path)
    whole = path.read_bytes()
    at = whole.rindex(place)
    path.write_bytes(whole[:at] + content + whole[at + len(content) :])
    path = path.rename(path.with_suffix(".npz"))
    with pytest.raises(UserError, match=rf"^{path}: not a readable .npz [^\n]*$"):
        read_feature_file(path)


def test_an_archive_that_is_written_as_a_stream_is_read(tmp_path: Path) -> None:
    """Sizes and checksums follow after the parts, so that their headers hold zeros."""

    class Pipe:
        def __init__(self, file: Any) -> None:
            self.read, self.write, self.flush = None, file.write, file.flush

    with open(tmp_path / "x.npz", "wb") as file:
        np.savez(Pipe(file), z=Z, labels=LABELS)  # type: ignore[arg-type]
    flags = struct.unpack("<H", (tmp_path / "x.npz").read_bytes()[6:8])[0]
    assert flags & 8
    found = read_npz(tmp_path / "x.npz")
    np.testing.assert_array_equal(found["z"], Z)
    np.testing.assert_array_equal(found["labels"], LABELS)
