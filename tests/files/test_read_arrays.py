"""Arrays whose header lies, that unpack to far more, or that hold Python objects are refused."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jepa_lab import diagnose
from jepa_lab.data.images.image_source import load_splits
from jepa_lab.data.user_arrays import read_npy as read_user_npy
from jepa_lab.errors import UserError
from jepa_lab.files import limits
from jepa_lab.files.arrays import PythonObjects, read_npy, read_npz
from jepa_lab.files.limits import OverLimit


def header(shape: str, descr: str = "'<f8'") -> bytes:
    """The header of an .npy file of this shape."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def archive(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return path


HUGE = header("(37500000000,)") + b"abc"
CLAIMS = "279 GB of arrays; at most 24 GB are read"


def test_a_header_that_claims_279_gb_takes_no_memory(tmp_path: Path) -> None:
    plain = tmp_path / "x.npy"
    plain.write_bytes(HUGE)
    with pytest.raises(OverLimit, match=CLAIMS):
        read_npy(plain)
    with pytest.raises(UserError, match=f"x.npy has {CLAIMS}"):
        read_user_npy(plain, "dataset.saliency_path=x.npy")
    packed = archive(tmp_path / "x.npz", z=HUGE, images=HUGE)
    with pytest.raises(OverLimit, match=f"^z: {CLAIMS}"):
        read_npz(packed, ("z",).__contains__)
    with pytest.raises(UserError, match=f"dataset.path={packed}: .*images: {CLAIMS}"):
        load_splits("npz", path=str(packed))


def test_diagnose_refuses_it_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = archive(tmp_path / "features.npz", z=HUGE)
    with pytest.raises(SystemExit) as end:
        diagnose.main([str(path)])
    error = capsys.readouterr().err
    assert (end.value.code, error.count("\n")) == (2, 1)
    assert f"{path}: not a readable .npz (z: {CLAIMS})" in error


def test_a_header_that_claims_more_than_the_file_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(header("(1000000,)") + b"abc")
    with pytest.raises(ValueError, match="the header claims 8 MB, the file has 0 MB"):
        read_npy(path)


def test_a_small_archive_that_unpacks_to_much_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "x.npz", z=header("(4194304,)", "'|u1'") + b"\0" * 4194304)
    assert path.stat().st_size < 10_000
    assert read_npz(path)["z"].shape == (4194304,)
    monkeypatch.setattr(limits, "UNPACKED_BYTES", limits.MB)
    with pytest.raises(OverLimit, match="z: 0 MB that unpack to 4 MB; at most 200 times the size"):
        read_npz(path)


def test_the_sum_of_all_arrays_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(1000), b=np.zeros(1000))
    monkeypatch.setattr(limits, "ARRAY_BYTES", 12_000)
    with pytest.raises(OverLimit):
        read_npz(path)
    found = read_npz(path, ("a",).__contains__)
    assert (found["a"].shape, found["b"].shape) == ((1000,), (0,))


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "executed",)  # type: ignore[return-value]

    objects = np.array([Evil()], dtype=object)
    np.save(tmp_path / "x.npy", objects)
    np.savez(tmp_path / "x.npz", z=objects)
    with pytest.raises(PythonObjects):
        read_npy(tmp_path / "x.npy")
    with pytest.raises(PythonObjects, match=r"^z: Python objects"):
        read_npz(tmp_path / "x.npz")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "content",
    [
        header("(" * 3000),
        header("-" * 9000 + "1"),
        header("(4611686018427387904,)", "'|V0'"),
        header("(-1,)"),
        header("(True, 2)") + b"\0" * 16,
        b"\x93NUMPY\x09\x00",
        b"",
    ],
)
def test_a_broken_header_is_a_value_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError):
        read_npy(path)


@pytest.mark.parametrize("array", [np.asfortranarray(np.arange(12.0).reshape(3, 4)), np.array(3)])
def test_other_arrays_are_read_as_numpy_reads_them(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    np.savez_compressed(tmp_path / "x.npz", z=array, names=np.array(["a", "bc"]))
    assert np.array_equal(read_npy(tmp_path / "x.npy"), array)
    found = read_npz(tmp_path / "x.npz")
    assert np.array_equal(found["z"], array)
    assert found["names"].tolist() == ["a", "bc"]


@pytest.mark.parametrize("packed", [False, True])
def test_bytes_that_are_left_over_after_the_array_are_refused(packed: bool, tmp_path: Path) -> None:
    """A damaged shape would otherwise give other rows of the same numbers."""
    content = header("(4, 2)") + b"\0" * 96
    path = archive(tmp_path / "x.npz", z=content) if packed else tmp_path / "x.npy"
    if not packed:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"32 bytes are left over after the array of shape .4, 2."):
        read_npz(path) if packed else read_npy(path)


def test_a_wrong_checksum_of_an_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, z=np.arange(100_000.0))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="Bad CRC-32"):
        read_npz(path)
