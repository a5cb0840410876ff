"""Reads Feather and Arrow files within limits.

A file is a series of messages. Each record batch may be packed, and says at the start of every
buffer how many bytes it unpacks to. These numbers are added before anything is unpacked.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pyarrow as pa
from pyarrow import ipc

from jepa_lab.files import limits
from jepa_lab.files.limits import OverLimit, size_text

MAGIC, OLD_MAGIC = b"ARROW1", b"FEA1"
AFTER_MAGIC = 8  # bytes: the magic, padded
DICTIONARY = 2  # the kind of a message that holds the values of a dictionary
NOT_PACKED = -1
BUFFER = struct.Struct("<qq")  # offset in the body, and length


def read_arrow(path: Path) -> pa.Table:
    """Returns all rows of a Feather file (version 2), or of an Arrow file or stream.

    Raises OverLimit for a pipe or a device, for more than limits.TABLE_ROWS rows, and for more than
    limits.TABLE_BYTES bytes in the file or unpacked. Raises ValueError for Feather of version 1,
    and pa.ArrowException or OSError for any other file.
    """
    limits.size_within(path, limits.TABLE_BYTES)
    with pa.OSFile(str(path), "rb") as file:
        magic = file.read(len(MAGIC))
        if magic.startswith(OLD_MAGIC):
            raise ValueError("Feather of version 1; write version 2 with pyarrow.feather")
        start = AFTER_MAGIC if magic == MAGIC else 0
        if start:
            file.seek(-len(MAGIC), 2)
            if file.read() != MAGIC:
                raise ValueError("no footer at its end; the file is cut short")
        file.seek(start)
        _require_size(file)
        file.seek(start)
        try:
            with ipc.open_stream(file) as reader:
                table = reader.read_all()
        except MemoryError:
            raise OverLimit("more than the memory of this machine") from None
    table.validate(full=True)
    return table


def arrow_names(path: Path) -> list[str]:
    """Returns the names of the columns. Raises as `read_arrow` does."""
    limits.size_within(path, limits.TABLE_BYTES)
    with pa.OSFile(str(path), "rb") as file:
        file.seek(AFTER_MAGIC if file.read(len(MAGIC)) == MAGIC else 0)
        with ipc.open_stream(file) as reader:
            return list(reader.schema.names)


def _require_size(file: pa.NativeFile) -> None:
    """Raises OverLimit for batches that claim too many rows or bytes."""
    rows = n_bytes = 0
    for message in ipc.MessageReader.open_stream(file):
        if message.type not in ("record batch", "dictionary"):
            continue
        try:
            more, unpacked = _claims(message.metadata.to_pybytes(), message.body.to_pybytes())
        except (struct.error, IndexError):
            raise ValueError("a damaged record batch") from None
        rows += more * (message.type == "record batch")
        n_bytes += unpacked
        if rows > limits.TABLE_ROWS:
            raise OverLimit(f"{rows:,} rows; at most {limits.TABLE_ROWS:,} are read")
        if n_bytes > limits.TABLE_BYTES:
            most = size_text(limits.TABLE_BYTES)
            raise OverLimit(f"unpacks to more than the {most} that are read")


def _claims(metadata: bytes, body: bytes) -> tuple[int, int]:
    """Returns the rows of a record batch, and the bytes of its buffers after unpacking."""
    (message,) = struct.unpack_from("<I", metadata)
    batch = _table(metadata, message, 2)
    if metadata[_field(metadata, message, 1)] == DICTIONARY:
        batch = _table(metadata, batch, 1)
    length = _field(metadata, batch, 0)
    rows = struct.unpack_from("<q", metadata, length)[0] if length else 0
    buffers = _table(metadata, batch, 2)
    (count,) = struct.unpack_from("<I", metadata, buffers)
    packed, total = bool(_field(metadata, batch, 3)), 0
    for k in range(count):
        offset, size = BUFFER.unpack_from(metadata, buffers + 4 + k * BUFFER.size)
        (unpacked,) = struct.unpack_from("<q", body, offset) if packed and size else (NOT_PACKED,)
        total += size if unpacked == NOT_PACKED else unpacked
        if unpacked < NOT_PACKED or size < 0:
            raise ValueError("a damaged record batch")
    return rows, total


def _field(data: bytes, table: int, index: int) -> int:
    """Returns the place of a field of a table in a flatbuffer, 0 if the table lacks it."""
    (back,) = struct.unpack_from("<i", data, table)
    about = table - back
    (size,) = struct.unpack_from("<H", data, about)
    slot = 4 + 2 * index
    place = struct.unpack_from("<H", data, about + slot)[0] if slot < size else 0
    return table + place if place else 0


def _table(data: bytes, table: int, index: int) -> int:
    """Returns the place of the table or vector that a field refers to."""
    place = _field(data, table, index)
    return int(place + struct.unpack_from("<I", data, place)[0])
