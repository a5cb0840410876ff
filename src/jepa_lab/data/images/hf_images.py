"""User-supplied images in a data set of Hugging Face's `datasets`: on disk, or by its name on the
hub. Its Arrow files are mapped into memory by that library, and its images are decoded by us."""

from __future__ import annotations

import hashlib
import io
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jepa_lab.data.images.arrays import (
    SPLIT_NAMES,
    Arrays,
    hold_out,
    require_classes,
    require_consistent,
    with_classes,
)
from jepa_lab.data.images.folder_images import common_look, copies_note, decoded_in_threads
from jepa_lab.data.images.hf_tables import (
    HfSet,
    columns_of,
    labels_of,
    opened_set,
    place_of,
    tables_of,
)
from jepa_lab.data.images.image_files import fitted, opened
from jepa_lab.data.images.memory_limit import Budget, require_room
from jepa_lab.data.images.pixels import Look
from jepa_lab.data.images.streaming import Streaming, streamed
from jepa_lab.data.images.unread import StoredImages, Unread, keys_of
from jepa_lab.errors import UserError, say
from jepa_lab.files.extras import import_extra


def unread_hf(
    chosen: HfSet, image_size: int, budget: Budget, streaming: Streaming | None = None
) -> dict[str, Arrays]:
    """Returns train, val and test of a data set, whose images are not read yet.

    A missing val or test split is a tenth of the training images, drawn with a fixed seed. Images
    are brought to RGB of 8 bits and to image_size as those of a folder. Raises UserError if the
    library is not installed, for a data set that it cannot open, and for columns that are not
    there or not unique.
    """
    origin = chosen.origin
    tables = tables_of(opened_set(chosen), origin)
    image_column, label_column = columns_of(chosen, tables["train"])
    labels = labels_of(chosen, tables, label_column)
    tables = {name: tables[name] for name in labels}
    n = {name: len(table) for name, table in tables.items()}
    sizes = {**n}
    for name in SPLIT_NAMES[1:]:
        if name not in n:
            sizes[name] = sizes["train"] // 10
            sizes["train"] -= sizes[name]
    kept = budget.kept(sizes)
    source = HfImages(tables, image_column, image_size, origin, sum(kept.values()))
    each = 3 * image_size**2
    every = streamed(source, place_of(tables, chosen), each * sum(kept.values()), streaming)
    if every is None:
        require_room(kept, each, origin, image_size, resizable=True)
        for note in source.prepare():
            say(f"{origin}: {note}")
        every = Unread.all_of(source)
    rows = every.rows.split(list(n.values()))
    images = {name: every[x] for name, x in zip(n, rows, strict=True)}
    parts = with_classes(images, labels, origin, "{split} labels")
    for name in SPLIT_NAMES[1:]:
        if name not in parts:
            parts["train"], parts[name] = hold_out(parts["train"], sizes[name])
    require_consistent(parts, origin)
    require_classes(parts, origin)
    return parts


class HfImages(StoredImages):
    """The images of the splits of a data set, one split after another, at one size."""

    def __init__(
        self, tables: Mapping[str, Any], column: str, size: int, origin: str, wanted: int
    ) -> None:
        n = sum(map(len, tables.values()))
        super().__init__(origin, (n, 3, size, size), resizable=True, wanted=wanted)
        encoded = import_extra("datasets", "datasets").Image(decode=False)
        self.tables = {
            name: table.select_columns([column]).cast_column(column, encoded)
            for name, table in tables.items()
        }
        self.column, self.size = column, size
        self.look: Look | None = None

    def blocks(self) -> Iterator[Tensor]:
        return (self.image(row)[None] for row in range(self.shape[0]))

    def take(self, rows: Tensor) -> Tensor:
        images = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        for i, row in enumerate(rows.tolist()):
            images[i] = self.image(row)
        if not self.hashes:
            self.hashes = keys_of(images)
        return images

    def chosen(self, rows: Tensor) -> Iterator[Tensor]:
        return decoded_in_threads(self.image, rows)

    def prepare(self) -> list[str]:
        every = (self._encoded(row) for row in range(self.shape[0]))
        self.look, notes = common_look(every, self.shape[0], self.origin)
        return notes

    def notes(self) -> list[str]:
        return copies_note(self.hashes)

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for name, table in self.tables.items():
            digest.update(f"{name} {table._fingerprint} {len(table)} {self.column};".encode())
        return digest.hexdigest()

    def image(self, row: int) -> Tensor:
        """Decodes one image (3, size, size). Raises UserError with its split and position."""
        name, file = self._encoded(row)
        with opened(file, name, self.origin) as image:
            return fitted(image, name, self.size, self.origin, self.look, upright=True)

    def _encoded(self, row: int) -> tuple[str, Path | io.BytesIO]:
        """Returns the name of an image in messages, and its file."""
        ends = list(accumulate(map(len, self.tables.values())))
        at = bisect_right(ends, row)
        split, table = list(self.tables.items())[at]
        row -= ends[at] - len(table)
        name, value = f"image {row} of {split}", table[row][self.column]
        if not value or (value["bytes"] is None and not value["path"]):
            raise UserError(f"{self.origin}: {name} is empty; remove it")
        return name, Path(value["path"]) if value["bytes"] is None else io.BytesIO(value["bytes"])
