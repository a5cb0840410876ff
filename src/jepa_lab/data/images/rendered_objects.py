"""3DIEBench: objects rendered from many viewpoints, with the latents of each rendering."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jepa_lab.data.images.arrays import Arrays, kept
from jepa_lab.data.images.image_files import read_image
from jepa_lab.data.images.memory_limit import require_memory
from jepa_lab.data.user_arrays import read_npy
from jepa_lab.errors import UserError

N_LATENTS = 7  # yaw, pitch, roll, floor hue, spot theta, spot phi, spot hue
LAYOUT = "<class>/<object>/image_<k>.jpg and latent_<k>.npy, k = 0 to 49"
WHERE = "3DIEBench is linked from github.com/facebookresearch/SIE"


def read_rendered(
    root: str | None,
    size: int = 128,
    *,
    train_size: int | None = None,
    val_size: int | None = None,
    seed: int = 0,
) -> dict[str, Arrays]:
    """Returns train, val and test of 3DIEBench.

    images (N, K * 3, size, size) uint8 hold the K renderings of an object one after another.
    latents (N, K, 7) are the parameters of the renderings. Only the selected objects are read:
    train_size of train, and val_size of each of val and test, drawn with `seed`.

    If root has train_images.npy and val_images.npy (relative folders of objects), the official
    validation objects are the test split, and a tenth of the others is the validation split, by a
    hash of their folder. Otherwise all objects are divided by that hash, 80/10/10. Classes are
    numbered in the sorted order of their folders. K is the number of renderings of the first
    object. Raises UserError for the first file that is missing, broken or not a vector of 7 finite
    latents, and for images that exceed the memory limit.
    """
    origin, top = f"dataset.root={root}", Path(root or "")
    if not top.is_dir():
        raise UserError(f"{origin}: no such folder; expected {LAYOUT} ({WHERE})")
    parts = _divided(top, origin)
    classes = sorted({name.split("/")[0] for names in parts.values() for name in names})
    limits = {"train": train_size, "val": val_size, "test": val_size}
    chosen = {}
    for part, names in parts.items():
        if not names:
            raise UserError(f"{origin}: no {part} objects; expected {LAYOUT} ({WHERE})")
        chosen[part] = [sorted(names)[i] for i in kept(len(names), limits[part], seed).tolist()]
    n_views = _count(top / chosen["train"][0], origin)
    require_memory(sum(map(len, chosen.values())), n_views * 3 * size * size, origin, size)
    latents = {
        part: torch.stack([_latents(top / o, n_views, origin) for o in names])
        for part, names in chosen.items()
    }
    return {
        part: Arrays(
            _images([top / name for name in names], n_views, size, origin),
            torch.tensor([classes.index(name.split("/")[0]) for name in names]),
            latents=latents[part],
        )
        for part, names in chosen.items()
    }


def _divided(top: Path, origin: str) -> dict[str, list[str]]:
    """Returns {split: folders of objects}."""
    lists = {part: _listed(top / f"{part}_images.npy", origin) for part in ("train", "val")}
    if lists["train"] is not None and lists["val"] is not None:
        ranked = _by_hash(lists["train"])
        n = len(ranked) // 10
        return {"train": ranked[n:], "val": ranked[:n], "test": lists["val"]}
    ranked = _by_hash([f"{p.parent.name}/{p.name}" for p in top.glob("*/*") if p.is_dir()])
    n = len(ranked) // 10
    return {"train": ranked[2 * n :], "val": ranked[:n], "test": ranked[n : 2 * n]}


def _count(folder: Path, origin: str) -> int:
    """Returns K, from the highest number among the files of an object."""
    found = [
        p.stem.rpartition("_")[2]
        for kind in ("image_*.jpg", "latent_*.npy")
        for p in folder.glob(kind)
    ]
    numbers = [int(n) for n in found if n.isdigit()]
    if not numbers:
        raise UserError(f"{origin}: no renderings in {folder}; expected {LAYOUT} ({WHERE})")
    return max(numbers) + 1


def _images(folders: Sequence[Path], n_views: int, size: int, origin: str) -> Tensor:
    images = torch.empty(len(folders), n_views, 3, size, size, dtype=torch.uint8)
    for i, folder in enumerate(folders):
        for k in range(n_views):
            images[i, k] = read_image(folder / f"image_{k}.jpg", size, origin)
    return images.flatten(1, 2)


def _listed(path: Path, origin: str) -> list[str] | None:
    if not path.is_file():
        return None
    names = read_npy(path, origin, "a list of folders")
    if names.dtype.kind not in "US":
        raise UserError(f"{origin}: {path} holds {names.dtype}; a list of folders is needed")
    return [
        (name.decode(errors="replace") if isinstance(name, bytes) else name).strip("/")
        for name in names.ravel().tolist()
    ]


def _by_hash(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: hashlib.blake2b(name.encode(), digest_size=16).digest())


def _latents(folder: Path, n_views: int, origin: str) -> Tensor:
    rows = []
    for k in range(n_views):
        path = folder / f"latent_{k}.npy"
        for needed in (path, folder / f"image_{k}.jpg"):
            if not needed.is_file():
                raise UserError(
                    f"{origin}: {needed} is missing; every object has {n_views} views with latents"
                )
        row = read_npy(path, origin).ravel()
        is_number = row.shape == (N_LATENTS,) and row.dtype.kind in "fiu"
        with np.errstate(over="ignore"):
            single = row.astype(np.float32) if is_number else row
        if not is_number or not np.isfinite(single).all():
            raise UserError(
                f"{origin}: {path} holds {row.dtype} {row.shape}; {N_LATENTS} finite latents are"
                " needed"
            )
        rows.append(torch.from_numpy(single))
    return torch.stack(rows)
