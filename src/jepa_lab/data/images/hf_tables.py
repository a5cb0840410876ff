"""The tables, columns and labels of a data set of Hugging Face's `datasets`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jepa_lab.data.labels import listed
from jepa_lab.errors import UserError, say
from jepa_lab.files.extras import import_extra

LABELS = ("label", "labels")
NO_LABELS = "none"
ALIASES = {"train": ("train",), "val": ("validation", "val", "valid", "dev"), "test": ("test",)}
ON_DISK = ("dataset_dict.json", "state.json")  # of save_to_disk


@dataclass(frozen=True)
class HfSet:
    """Which data set is read, and how.

    - path: a folder that `save_to_disk` wrote, another local folder that `load_dataset` reads, or
      the name of a data set on the hub
    - config_name: one of several configurations of the data set
    - image_column: None is the only column of images
    - label_column: None is the only column of classes, or one with a name in LABELS. NO_LABELS is
      none
    """

    path: str | None
    config_name: str | None = None
    image_column: str | None = None
    label_column: str | None = None

    @property
    def origin(self) -> str:
        return f"dataset.path={self.path}"


def opened_set(chosen: HfSet) -> Any:
    """Returns the data set, from local files where the path is a folder."""
    library = import_extra("datasets", "datasets")
    path = Path(chosen.path or "")
    try:
        if any((path / name).is_file() for name in ON_DISK):
            return library.load_from_disk(str(path))
        return library.load_dataset(str(chosen.path), chosen.config_name)
    except Exception as error:  # the library raises many types
        reason = next((x for x in str(error).splitlines() if x.strip()), type(error).__name__)
        raise UserError(
            f"{chosen.origin}: no data set that can be opened ({reason}); give a local folder or"
            " the name of one on the hub, and dataset.config_name if it has several"
        ) from error


def tables_of(found: Any, origin: str) -> dict[str, Any]:
    """Returns the splits under our names, train first."""
    tables = dict(found) if isinstance(found, Mapping) else {"train": found}
    if len(tables) == 1 and not any(x in tables for x in ALIASES["train"]):
        tables = {"train": next(iter(tables.values()))}
    ours = {
        name: tables[x] for name, others in ALIASES.items() for x in others[::-1] if x in tables
    }
    if "train" not in ours:
        raise UserError(
            f"{origin}: no split train; it has {listed([str(x) for x in tables])}; rename one"
        )
    return ours


def columns_of(chosen: HfSet, table: Any) -> tuple[str, str | None]:
    """Returns the columns of the images, and of the labels or None."""
    library, features = import_extra("datasets", "datasets"), table.features
    for key in ("image_column", "label_column"):
        name = getattr(chosen, key)
        if name is not None and name not in features and (key, name) != ("label_column", NO_LABELS):
            raise UserError(
                f"dataset.{key}={name}: {chosen.origin} has no such column; it has"
                f" {listed(list(features))}"
            )
    images = [x for x, kind in features.items() if isinstance(kind, library.Image)]
    image = chosen.image_column or (images[0] if len(images) == 1 else None)
    if image is None or image not in images:
        found = f"columns of images are {listed(images)}" if images else "no column holds images"
        raise UserError(f"{chosen.origin}: {found}; give one of them as dataset.image_column")
    if chosen.label_column is not None:
        return image, None if chosen.label_column == NO_LABELS else chosen.label_column
    classes = [x for x, kind in features.items() if isinstance(kind, library.ClassLabel)]
    usual = [x for x in LABELS if x in (classes or features)]
    if len(classes) > 1 and not usual:
        raise UserError(
            f"{chosen.origin}: several columns of classes, {listed(classes)}; choose one with"
            f" dataset.label_column, or {NO_LABELS}"
        )
    return image, (usual or classes or [None])[0]


def labels_of(
    chosen: HfSet, tables: Mapping[str, Any], column: str | None
) -> dict[str, list[Any] | None]:
    """Returns the labels of each split that a run uses, as names where its classes have names. A
    split without a label, as the test images of a competition, is left out with a line. Raises
    UserError if only some images of a split have one."""
    if column is None:
        return dict.fromkeys(tables)
    used: dict[str, list[Any] | None] = {}
    for name, table in tables.items():
        values = _labels(table, column)
        advice = f"label all, or give dataset.label_column={NO_LABELS}"
        if values.count(None) == len(values) and name != "train":
            say(f"{chosen.origin}: no image of {name} has a label; the split is not used")
            continue
        if None in values:
            raise UserError(
                f"{chosen.origin}: image {values.index(None)} of {name} has no label in {column};"
                f" {advice}"
            )
        used[name] = values
    return used


def _labels(table: Any, column: str) -> list[Any]:
    """Returns the labels of a split. None stands for an image without one."""
    values = list(table[column])
    names = getattr(table.features[column], "names", None)
    if names is None:
        return values
    return [None if x is None or x < 0 else names[x] for x in values]


def place_of(tables: Mapping[str, Any], chosen: HfSet) -> Path:
    """Returns the folder of the Arrow files, or of a data set in memory its path."""
    files = tables["train"].cache_files
    return Path(files[0]["filename"]).parent if files else Path(chosen.path or "")
