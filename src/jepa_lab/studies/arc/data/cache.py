"""Token cache on disk: one file per split, written atomically and checked when it is read, each
record by its checksum."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jepa_lab.errors import UserError
from jepa_lab.files.limits import OverLimit, require_regular
from jepa_lab.files.text import parse_json
from jepa_lab.ledger.atomic import replace_file, temporary_beside
from jepa_lab.process.memory import in_words
from jepa_lab.studies.arc.data.batch import NO_COLOR, GridTokens
from jepa_lab.studies.arc.data.examples import Examples
from jepa_lab.studies.arc.data.tokens.tokens import VIEW, OnlineTokens

MAGIC = b"jepa-lab ARC tokens\n"
VERSION = 2  # of the file layout; the version of a tokeniser is part of its fingerprint
_CHUNK = 256  # grids tokenised per call
_SUM = 4  # bytes of the checksum at the end of a record


class CachedTokens:
    """A TokenSource that reads tokens from a memory-mapped file.

    The file holds every view of `variants` epochs. Its layout: MAGIC, the length of the header (8
    digits and a newline), the header as JSON, then one record per variant, view and grid, each
    with the CRC-32 of its tokens. The tokens are bit for bit those of the OnlineTokens for the
    epochs 0 to variants - 1. `path` is the file, for messages.
    """

    def __init__(self, path: Path, online: OnlineTokens, records: np.ndarray) -> None:
        self.path = path
        self.online = online
        self.records = records  # (variants, views, n)

    @staticmethod
    def of(path: Path, online: OnlineTokens, variants: int) -> CachedTokens:
        """Opens the cache at `path`; writes it first if the file does not exist.

        Raises ValueError if the file is not a token cache, is truncated, or was made for other data
        or options, and for more tokens than the disk can hold. Raises OSError for a folder that
        cannot be written.
        """
        expected = _header(online, variants)
        kind, shape = _record(expected), (variants, 1 + len(online.families), expected["grids"])
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _require_space(path, kind.itemsize * math.prod(shape))
            _write(path, expected, online, variants)
        start = _check(path, expected)
        size, needed = path.stat().st_size, start + kind.itemsize * math.prod(shape)
        if size != needed:
            raise ValueError(
                f"cache {path}: {size} bytes, but its header requires {needed}; delete that file"
            )
        return CachedTokens(
            path, online, np.memmap(path, kind, mode="r", offset=start, shape=shape)
        )

    def __call__(
        self, numbers: Tensor, epoch: int, rows: Tensor | None = None
    ) -> dict[str, GridTokens]:
        """Returns the tokens of the grids. Raises UserError for a record with a wrong checksum."""
        wanted = numbers.numpy()
        places = self.online.tokeniser.places(
            [self.online.examples.grids[i] for i in wanted.tolist()]
        )
        views = (VIEW, *self.online.families)
        records = {view: self.records[epoch, i, wanted] for i, view in enumerate(views)}
        if not all(np.array_equal(_sums(found), found["sum"]) for found in records.values()):
            raise UserError(f"cache {self.path}: damaged (wrong checksum); delete that file")
        tokens = {view: _tokens(found, places) for view, found in records.items()}
        if rows is None:
            return tokens
        return {view: found.with_blank().rows(rows) for view, found in tokens.items()}


def _require_space(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise ValueError(
            f"cache {path}: its tokens take {in_words(size)}, and {in_words(free)} are free there;"
            " give a lower dataset.variants or another folder"
        )


def _header(online: OnlineTokens, variants: int) -> dict[str, Any]:
    examples, tokeniser = online.examples, online.tokeniser
    return {
        "version": VERSION,
        "split": online.split,
        "tokeniser": tokeniser.fingerprint,
        "data": _fingerprint(examples),
        "seed": online.seed,
        "variants": variants,
        "augmentation": asdict(online.augment) if online.augment else None,
        "families": list(online.families),
        "grids": len(examples.grids),
        "places": tokeniser.places(examples.grids),
        "features": tokeniser.n_features,
        "colors": tokeniser.n_colors,
    }


def _fingerprint(examples: Examples) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for owner, grid in zip(examples.owner.tolist(), examples.grids, strict=True):
        digest.update(
            f"{owner} {grid.shape};".encode() + np.ascontiguousarray(grid, dtype=np.uint8).tobytes()
        )
    return digest.hexdigest()


def _record(header: dict[str, Any]) -> np.dtype[Any]:
    """Returns the record type: the tokens of one grid in one view and variant.

    Booleans are packed, eight per byte.
    """
    n = header["places"]
    return np.dtype(
        [
            ("features", "<f4", (n, header["features"])),
            ("colors", "u1", (n, header["colors"])),
            ("mask", "u1", (-(-n // 8),)),
            ("adjacency", "u1", (-(-n * n // 8),)),
            ("sum", f"<u{_SUM}"),
        ]
    )


def _write(path: Path, header: dict[str, Any], online: OnlineTokens, variants: int) -> None:
    kind, n = _record(header), header["grids"]
    text = json.dumps(header).encode()
    tmp = temporary_beside(path)
    try:
        with open(tmp, "wb") as file:
            file.write(MAGIC + f"{len(text):08d}\n".encode() + text)
            start = file.tell()
            for variant in range(variants):
                for first in range(0, n, _CHUNK):
                    numbers = torch.arange(first, min(first + _CHUNK, n))
                    for i, tokens in enumerate(online(numbers, variant).values()):
                        view = variant * (1 + len(online.families)) + i
                        file.seek(start + (view * n + first) * kind.itemsize)
                        file.write(_records(tokens, kind).tobytes())
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise
    replace_file(tmp, path)


def _check(path: Path, expected: dict[str, Any]) -> int:
    """Returns the offset of the records. Raises ValueError unless the header is as expected."""
    try:
        require_regular(path)
    except OverLimit as error:
        raise ValueError(f"cache {path}: {error}") from None
    with open(path, "rb") as file:
        first, length = file.read(len(MAGIC)), file.read(9)
        text = file.read(int(length)) if first == MAGIC and length.strip().isdigit() else b""
        start = file.tell()
    try:
        header = parse_json(text.decode("utf-8"))
    except ValueError:
        raise ValueError(
            f"cache {path}: not a cache of ARC tokens, or truncated; delete that file"
        ) from None
    for key, value in expected.items():
        if header.get(key) != value:
            raise ValueError(
                f"cache {path}: made with {key} {header.get(key)!r}, but this run has {value!r}; "
                "name another folder (dataset.cache) or delete that file"
            )
    return start


def _records(tokens: GridTokens, kind: np.dtype[Any]) -> np.ndarray:
    n, places, _ = tokens.features.shape
    total = kind["features"].shape[0]
    records = np.zeros(n, kind)
    records["colors"] = NO_COLOR
    records["features"][:, :places] = tokens.features.numpy()
    records["colors"][:, :places] = tokens.colors.numpy()
    mask, adjacency = np.zeros((n, total), bool), np.zeros((n, total, total), bool)
    mask[:, :places] = tokens.mask.numpy()
    adjacency[:, :places, :places] = tokens.adjacency.numpy()
    records["mask"] = np.packbits(mask, axis=1)
    records["adjacency"] = np.packbits(adjacency.reshape(n, -1), axis=1)
    records["sum"] = _sums(records)
    return records


def _sums(records: np.ndarray) -> np.ndarray:
    """Returns the CRC-32 of each record (n,) without its last field, the checksum."""
    rows = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), -1)
    return np.array([zlib.crc32(row[:-_SUM].tobytes()) for row in rows], np.uint32)


def _tokens(records: np.ndarray, places: int) -> GridTokens:
    n, total = records["features"].shape[:2]
    mask = np.unpackbits(records["mask"], axis=1, count=total).astype(bool)
    adjacency = np.unpackbits(records["adjacency"], axis=1, count=total * total).astype(bool)
    arrays = (
        records["colors"].astype(np.int64)[:, :places],
        records["features"][:, :places].astype(np.float32),
        mask[:, :places],
        adjacency.reshape(n, total, total)[:, :places, :places],
    )
    return GridTokens(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
