"""Whether the files of a public image set are on this machine, for commands that download
nothing."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from jepa_lab.data.images.public_images import LAYOUTS
from jepa_lab.errors import UserError

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
OFF = ("", "0")


def require_stored(name: str, root: str) -> None:
    """Raises UserError if a run would first download MNIST, CIFAR-10, CIFAR-100 or STL-10 into
    `root`. Accepts any other name, and files that are broken in another way, which their reader
    reports."""
    if name in LAYOUTS and not _is_stored(name, root):
        raise UserError(
            f"dataset.root={root}: {name} is not there; a run downloads it, a check does not: start"
            f" the run, or put the files there by hand ({LAYOUTS[name]}), or name the folder that"
            " has them with dataset.root="
        )


def require_local(path: str) -> None:
    """Raises UserError for the name of a data set on the hub, which a run may first download,
    unless a variable of its library forbids that."""
    if Path(path).is_dir() or any(os.environ.get(x, "0") not in OFF for x in OFFLINE):
        return
    raise UserError(
        f"dataset.path={path}: a run may download it, a check does not: give a local folder, or set"
        f" {OFFLINE[0]}=1, with which only what was downloaded before is read"
    )


def _is_stored(name: str, root: str) -> bool:
    from torchvision import datasets  # imported here, since the import takes more than a second

    parts: dict[str, list[Any]] = {
        "mnist": [partial(datasets.MNIST, train=train) for train in (True, False)],
        "cifar10": [partial(datasets.CIFAR10, train=train) for train in (True, False)],
        "cifar100": [partial(datasets.CIFAR100, train=train) for train in (True, False)],
        "stl10": [partial(datasets.STL10, split=split) for split in ("train", "test")],
    }
    try:
        for part in parts[name]:
            part(root, download=False)
    except RuntimeError:  # torchvision's error for missing files and wrong checksums
        return False
    except Exception:  # files of another form
        return True
    return True
