"""Reads the records in the logs of W&B and TensorBoard within limits. A file that is still written
may end within a record, which is left out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from jepa_lab.files import limits

WANDB = b":W&B\xe1\xbe\x00"  # the start of a file: name, number and version of the format
BLOCK = 32768  # bytes; a record is cut at the end of a block
PIECE = struct.Struct("<IHB")  # before a piece: checksum, length, place in its record
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
LENGTH = struct.Struct("<QI")  # before a record of TensorBoard: its length and the checksum of that
SUM = struct.Struct("<I")
LONG = 2**16  # bytes of a record whose checksum is not verified: an image, not a number


def wandb_records(path: Path) -> Iterator[bytes]:
    """Yields the records of a run-*.wandb file. Raises OverLimit for more than limits.TABLE_BYTES,
    ValueError for a file that is none or is damaged, and OSError if it cannot be read."""
    limits.size_within(path, limits.TABLE_BYTES)
    with open(path, "rb") as file:
        if file.read(len(WANDB)) != WANDB:
            raise ValueError("not a file of W&B of a known version")
        record = b""
        for kind, data in _pieces(file):
            if kind not in (WHOLE, FIRST) and not record:
                raise ValueError("a record without its beginning")
            record = data if kind in (WHOLE, FIRST) else record + data
            if kind in (WHOLE, LAST):
                yield record
                record = b""


def _pieces(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    while True:
        left = BLOCK - file.tell() % BLOCK
        if left < PIECE.size:  # too little for another piece
            file.read(left)
        head = file.read(PIECE.size)
        if len(head) < PIECE.size or not any(head):
            return
        checksum, length, kind = PIECE.unpack(head)
        data = file.read(length)
        if len(data) < length:
            return
        if not WHOLE <= kind <= LAST or zlib.crc32(bytes([kind]) + data) != checksum:
            raise ValueError("wrong checksum")
        yield kind, data


def event_records(path: Path, checksum: Callable[[bytes], int]) -> Iterator[bytes]:
    """Yields the records of an event file of TensorBoard, whose checksums are `checksum` of the
    bytes. Raises as `wandb_records` does."""
    size = limits.size_within(path, limits.TABLE_BYTES)
    with open(path, "rb") as file:
        while len(head := file.read(LENGTH.size)) == LENGTH.size:
            length, of_length = LENGTH.unpack(head)
            if checksum(head[:8]) != of_length:
                raise ValueError("wrong checksum")
            if length + SUM.size > size - file.tell():
                return
            data = file.read(length)
            (expected,) = SUM.unpack(file.read(SUM.size))
            if length <= LONG and checksum(data) != expected:
                raise ValueError("wrong checksum")
            yield data
