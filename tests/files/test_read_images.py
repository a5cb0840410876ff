"""Images of too many pixels are refused before they are decoded, and so are other formats."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import pytest

from jepa_lab.data.images.image_files import read_image
from jepa_lab.data.images.image_source import load_splits
from jepa_lab.errors import UserError
from jepa_lab.files.images import open_image
from jepa_lab.files.limits import OverLimit


def png(width: int, height: int) -> bytes:
    """A PNG whose header claims this size."""

    def part(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"\0" * 100)) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (10_000, 9_000)])
def test_an_image_of_too_many_pixels_is_refused_in_one_line(
    width: int, height: int, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width, height))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OverLimit, match="89,478,485"):
            open_image(path)
        with pytest.raises(UserError, match=r"bomb\.png has .* pixels") as error:
            load_splits("folder", root=str(tmp_path), image_size=8)
    assert "\n" not in str(error.value)


def test_postscript_that_is_named_png_starts_no_interpreter(tmp_path: Path) -> None:
    path = tmp_path / "drawing.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(UserError, match="not a readable image"):
        read_image(path, 8, "dataset.root=x")
