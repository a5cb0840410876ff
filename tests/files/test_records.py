"""The records of logs of W&B and TensorBoard are read whole, up to the last complete one, or
refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from jepa_lab.files import limits
from jepa_lab.files.limits import OverLimit
from jepa_lab.files.records import BLOCK, WANDB, event_records, wandb_records

RECORDS = [b"a", b"bc" * 40, b"d" * (BLOCK - 100), b"e" * (3 * BLOCK), b"", b"f" * 9]


def of_wandb(records: list[bytes]) -> bytes:
    """The file that W&B writes, a log of LevelDB."""
    out = bytearray(WANDB)
    for record in records:
        first = True
        while True:
            left = BLOCK - len(out) % BLOCK
            if left < 7:
                out += b"\0" * left
                continue
            piece, record = record[: left - 7], record[left - 7 :]
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[
                (first, not record)
            ]
            checksum = zlib.crc32(bytes([kind]) + piece)
            out += struct.pack("<IHB", checksum, len(piece), kind) + piece
            first = False
            if not record:
                break
    return bytes(out)


def of_events(records: list[bytes]) -> bytes:
    parts = []
    for record in records:
        length = struct.pack("<Q", len(record))
        sums = [struct.pack("<I", zlib.crc32(x)) for x in (length, record)]
        parts.append(length + sums[0] + record + sums[1])
    return b"".join(parts)


def read_wandb(path: Path) -> list[bytes]:
    return list(wandb_records(path))


def read_events(path: Path) -> list[bytes]:
    return list(event_records(path, zlib.crc32))


FORMATS = [(of_wandb, read_wandb), (of_events, read_events)]
Write = Callable[[list[bytes]], bytes]
Read = Callable[[Path], list[bytes]]


@pytest.mark.parametrize(("write", "read"), FORMATS)
def test_records_are_read_across_blocks(write: Write, read: Read, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(write(RECORDS))
    assert read(tmp_path / "log") == RECORDS


@pytest.mark.parametrize(("write", "read"), FORMATS)
def test_a_file_that_is_still_written_has_its_complete_records(
    write: Write, read: Read, tmp_path: Path
) -> None:
    records = [b"first" * 9, b"second" * 9, b"third" * 9]
    whole, two = write(records), len(write(records[:2]))
    for size in range(two, len(whole)):
        (tmp_path / "log").write_bytes(whole[:size])
        assert read(tmp_path / "log") == records[:2]


@pytest.mark.parametrize(("write", "read"), FORMATS)
def test_a_flipped_bit_is_refused_or_only_shortens(
    write: Write, read: Read, tmp_path: Path
) -> None:
    records = [b"first" * 3, b"second" * 3, b"third" * 3]
    whole = write(records)
    for place in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            (tmp_path / "log").write_bytes(changed)
            try:
                found = read(tmp_path / "log")
            except ValueError:
                continue
            assert found == records[: len(found)], (place, bit)
            assert len(found) < len(records), (place, bit)


@pytest.mark.parametrize(("write", "read"), FORMATS)
def test_a_file_beyond_the_limit_is_refused(
    write: Write, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").write_bytes(write(RECORDS))
    monkeypatch.setattr(limits, "TABLE_BYTES", 1000)
    with pytest.raises(OverLimit, match="at most 0 MB are read"):
        read(tmp_path / "log")


def test_a_length_without_end_takes_no_memory(tmp_path: Path) -> None:
    length = struct.pack("<Q", 2**62)
    (tmp_path / "log").write_bytes(length + struct.pack("<I", zlib.crc32(length)) + b"x" * 40)
    assert read_events(tmp_path / "log") == []


def test_another_file_is_no_log_of_wandb(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b":W&B\xe1\xbe\x07")  # another version
    with pytest.raises(ValueError, match="of a known version"):
        read_wandb(tmp_path / "log")
