"""Image files: which of them a folder has, and their pixels at the size of training."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from jepa_lab.data.images.pixels import Look, rgb
from jepa_lab.errors import UserError
from jepa_lab.files.images import OtherPixels, open_image
from jepa_lab.files.limits import OverLimit

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def image_files(top: Path) -> list[Path]:
    """Returns the image files of a folder, sorted. It returns none for a missing folder."""
    return (
        sorted(p for p in top.glob("*") if p.suffix.lower() in IMAGE_ENDINGS)
        if top.is_dir()
        else []
    )


def other_files(top: Path) -> list[str]:
    """Returns the names of the visible files of a folder that have no ending of an image."""
    if not top.is_dir():
        return []
    files = (p for p in sorted(top.iterdir()) if p.is_file() and not p.name.startswith("."))
    return [p.name for p in files if p.suffix.lower() not in IMAGE_ENDINGS]


def read_image(
    path: Path, size: int, origin: str, look: Look | None = None, upright: bool = True
) -> torch.Tensor:
    """Returns (3, size, size) uint8: upright, RGB, shorter side resized, centre cropped. `look` is
    that of the image's folder, see `rgb`. Raises UserError for a file that is not an image."""
    with open_named(path, origin) as image:
        return fitted(image, path, size, origin, look, upright)


def fitted(
    image: Image.Image,
    name: Path | str,
    size: int,
    origin: str,
    look: Look | None = None,
    upright: bool = True,
) -> torch.Tensor:
    """Returns an open image as `read_image` does. `name` is that in messages."""
    try:
        found = ImageOps.fit(rgb(image, look, upright), (size, size), Image.Resampling.BILINEAR)
    except Exception as error:  # PIL raises many types for a broken file
        raise unreadable(name, error, origin) from error
    return torch.from_numpy(np.asarray(found).copy()).permute(2, 0, 1).contiguous()


def open_named(path: Path, origin: str) -> Image.Image:
    """Opens an image. Raises UserError with its name for a file that is not one."""
    return opened(path, path, origin)


def opened(file: Path | io.BytesIO, name: Path | str, origin: str) -> Image.Image:
    """Opens an image from a file or its content. Raises UserError with its name for another
    file."""
    try:
        return open_image(file)
    except Exception as error:  # PIL raises many types for a broken file
        raise unreadable(name, error, origin) from error


def unreadable(path: Path | str, error: Exception, origin: str) -> UserError:
    """Returns the error for an image that cannot be read, with the reason."""
    if isinstance(error, OverLimit):
        return UserError(f"{origin}: {path} has {error}; scale it down or remove it")
    if isinstance(error, OtherPixels):
        return UserError(
            f"{origin}: {path} has {error}; save it as grey or RGB of 8 or 16 bits, or choose three"
            " bands and save all images in an .npz"
        )
    return UserError(f"{origin}: {path} is not a readable image; repair or remove it")
