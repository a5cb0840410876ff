"""3DIEBench: objects rendered from many sides, each view with the latents it was rendered from.

Not yet a view group: groups transform one image, here the views of an object are files. See Garrido, Najman and LeCun,
"Self-supervised learning of Split Invariant Equivariant representations", ICML 2023, for the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jepa_lab.data.draws import uniform
from jepa_lab.data.own_images import read_image
from jepa_lab.data.rotations_3d import between, conjugate, from_euler, product
from jepa_lab.errors import UserError

NORM = ((0.5016, 0.5037, 0.5060), (0.1030, 0.0999, 0.0969))
N_LATENTS = 7  # yaw, pitch, roll, floor hue, spot theta, spot phi, spot hue
HUES = (3, 6)
LATENT_TYPES = {"rot": 4, "color": 2, "rotcolor": 6}  # the width of an action


@dataclass(frozen=True)
class RenderedObjects:
    """Objects by their folder, <class>/<object>; labels (N,) int64; latents (N, K, 7) float32 of K views each. The
    images stay on disk: the published set has 2.6 million."""

    root: Path
    objects: tuple[str, ...]
    labels: Tensor
    latents: Tensor

    def images(self, index: Tensor, views: Tensor, size: int = 128) -> Tensor:
        """The views (B, V) of the objects `index` (B,): (B, V, 3, size, size) uint8, read from their files."""
        origin = f"dataset.root={self.root}"
        rows = [
            torch.stack([read_image(self.root / self.objects[i] / f"image_{k}.jpg", size, origin) for k in chosen])
            for i, chosen in zip(index.tolist(), views.tolist(), strict=True)
        ]
        return torch.stack(rows)


def read_rendered(root: str, n_views: int = 50) -> dict[str, RenderedObjects]:
    """train, val and test of 3DIEBench: by train_images.npy and val_images.npy (relative folders of objects) where
    they are in root, the official validation objects then test and a tenth of the others, by a hash of their folder,
    validates; else every object by that hash, 80/10/10. Classes count in the sorted order of their folders.

    Layout: <class>/<object>/image_<k>.jpg and latent_<k>.npy, k from 0 to n_views - 1. UserError that names the first
    file that is missing or no vector of 7 finite latents.
    """
    origin, top = f"dataset.root={root}", Path(root)
    if not top.is_dir():
        raise UserError(f"{origin}: no such folder; give the folder of 3DIEBench")
    lists = {part: _listed(top / f"{part}_images.npy", origin) for part in ("train", "val")}
    if lists["train"] is not None and lists["val"] is not None:
        ranked = _by_hash(lists["train"])
        n = len(ranked) // 10
        parts = {"train": ranked[n:], "val": ranked[:n], "test": lists["val"]}
    else:
        ranked = _by_hash([f"{p.parent.name}/{p.name}" for p in top.glob("*/*") if p.is_dir()])
        n = len(ranked) // 10
        parts = {"train": ranked[2 * n :], "val": ranked[:n], "test": ranked[n : 2 * n]}
    for part, objects in parts.items():
        if not objects:
            raise UserError(f"{origin}: no {part} objects; expected <class>/<object>/image_<k>.jpg and latent_<k>.npy")
    classes = sorted({name.split("/")[0] for objects in parts.values() for name in objects})
    found = {}
    for part, objects in parts.items():
        names = tuple(sorted(objects))
        labels = torch.tensor([classes.index(name.split("/")[0]) for name in names])
        latents = torch.stack([_latents(top / name, n_views, origin) for name in names])
        found[part] = RenderedObjects(top, names, labels, latents)
    return found


def draw_views(index: Tensor, n: int, of: int, *, seed: int, split: str, epoch: int) -> Tensor:
    """n distinct views (B, n) int64 out of `of`, uniformly, for every object of index (B,) int64; more views leave the
    first ones as they were, and outside "train" the epoch is left out. Raises ValueError for n > of."""
    if n > of:
        raise ValueError(f"{n} distinct views of {of} cannot be drawn")
    u = uniform(index, of, seed=seed, split=split, epoch=epoch if split == "train" else 0)
    return u.argsort(dim=1, stable=True)[:, :n]


def absolute(latents: Tensor, latent_type: str) -> Tensor:
    """The code (..., A) of latents (..., 7): rot is the canonical quaternion (A = 4), color the hues of floor and spot
    (A = 2), rotcolor both (A = 6). Raises ValueError for another type or width."""
    if latent_type not in LATENT_TYPES or latents.shape[-1] != N_LATENTS:
        raise ValueError(
            f"latents (..., 7) of type {', '.join(LATENT_TYPES)}; got {latent_type} {tuple(latents.shape)}"
        )
    parts = {"rot": from_euler(latents[..., :3]), "color": latents[..., list(HUES)]}
    return torch.cat([part for name, part in parts.items() if name in latent_type], dim=-1)


def relative(latents_from: Tensor, latents_to: Tensor, latent_type: str) -> Tensor:
    """The action (..., A) from one view's latents to another's: R1^-1 R2, and the differences of the hues."""
    return _combine(absolute(latents_from, latent_type), absolute(latents_to, latent_type), -1)


def inverse(actions: Tensor) -> Tensor:
    """`inverse(relative(a, b)) == relative(b, a)`, (..., A) each; the width says which type they are."""
    rot = _rotation_width(actions)
    turned = [conjugate(actions[..., :4])] if rot else []
    return torch.cat([*turned, -actions[..., rot:]], dim=-1)


def compose(first: Tensor, then: Tensor) -> Tensor:
    """`compose(relative(a, b), relative(b, c)) == relative(a, c)`, (..., A) each."""
    return _combine(first, then, 1)


def _combine(a: Tensor, b: Tensor, sign: int) -> Tensor:
    """Of codes or actions: R(a) R(b) and a + b for sign 1, R(a)^-1 R(b) and b - a for sign -1."""
    rot = _rotation_width(a)
    rotation = product if sign > 0 else between
    turned = [rotation(a[..., :4], b[..., :4])] if rot else []
    return torch.cat([*turned, b[..., rot:] + sign * a[..., rot:]], dim=-1)


def _rotation_width(actions: Tensor) -> int:
    return 4 if actions.shape[-1] >= 4 else 0


def _listed(path: Path, origin: str) -> list[str] | None:
    if not path.is_file():
        return None
    try:
        names = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{origin}: {path} is no list of folders; write it with numpy.save") from error
    return [(name.decode() if isinstance(name, bytes) else str(name)).strip("/") for name in names.ravel().tolist()]


def _by_hash(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: hashlib.blake2b(name.encode(), digest_size=16).digest())


def _latents(folder: Path, n_views: int, origin: str) -> Tensor:
    rows = []
    for k in range(n_views):
        path = folder / f"latent_{k}.npy"
        for needed in (path, folder / f"image_{k}.jpg"):
            if not needed.is_file():
                raise UserError(f"{origin}: {needed} is missing; every object has {n_views} views with latents")
        try:
            row = np.load(path, allow_pickle=False).ravel()
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{origin}: {path} is not a readable .npy") from error
        if row.shape != (N_LATENTS,) or row.dtype.kind not in "fiu" or not np.isfinite(row).all():
            raise UserError(f"{origin}: {path} holds {row.dtype} {row.shape}; {N_LATENTS} finite latents are needed")
        rows.append(torch.from_numpy(row.astype(np.float32)))
    return torch.stack(rows)
