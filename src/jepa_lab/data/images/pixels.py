"""Brings images of any mode to RGB of 0 to 255, without losing what they show.

A plain conversion to RGB clips 16-bit grey to white, shows what transparency hides, and leaves
photographs on their side. Depth and background are decided once for all files of a folder, so that
its images stay comparable. Images of 8 bits without transparency are converted as they are.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from jepa_lab.files.images import OtherPixels

BLACK, WHITE = 0, 255
BRIGHT = 191.0  # mean of visible pixels that would not show on white
SAMPLE = 256  # pixels a side, about, from which the brightness of transparent images is read
DEPTHS = (8, 10, 12, 14, 16, 24, 31, 32)  # bits of sensors and files
LEAST_HIGHEST = 16.0  # floating-point values above 1 whose maximum is below it have no known depth
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Look:
    """What the files of a folder have in common.

    - deep, transparent, frames: number of files with more than 8 bits, with pixels that are not
      opaque, and with several frames
    - low, high: range of the values of the deep files
    - light, weight: sum of the visible brightness of the transparent files, and of their opacity
    - mode, mixed: of the first deep file, in Pillow's notation, and whether others are of another
      kind
    """

    deep: int = 0
    transparent: int = 0
    frames: int = 0
    low: float = math.inf
    high: float = -math.inf
    light: float = 0.0
    weight: float = 0.0
    mode: str = ""
    mixed: bool = False

    def plus(self, image: Image.Image) -> Look:
        """Returns the look with one more image. Only deep or transparent ones are decoded. Raises
        Pillow's errors."""
        look = self
        if image.format in ("GIF", "TIFF", "WEBP", "PNG") and getattr(image, "is_animated", False):
            look = replace(look, frames=look.frames + 1)
        if _is_deep(image):
            values = np.asarray(image)
            low, high = float(values.min()), float(values.max())
            if math.isfinite(low + high):
                low, high = min(look.low, low), max(look.high, high)
            else:
                low = high = math.nan  # stays so, whatever follows
            mode = look.mode or image.mode
            mixed = look.mixed or (mode == "F") != (image.mode == "F")
            return replace(look, deep=look.deep + 1, low=low, high=high, mode=mode, mixed=mixed)
        layer = _layer(image)
        if layer is None:
            return look
        sample = np.asarray(layer)[:: 1 + layer.height // SAMPLE, :: 1 + layer.width // SAMPLE]
        opacity = sample[:, :, 3] / WHITE
        light = look.light + float((sample[:, :, :3].mean(axis=2) * opacity).sum())
        weight = look.weight + float(opacity.sum())
        return replace(look, transparent=look.transparent + 1, light=light, weight=weight)

    def depth(self) -> int:
        """Returns the bits of the deep values, 1 for fractions from 0 to 1. Raises OtherPixels if
        their range has no known depth."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise OtherPixels(f"values that are not finite (mode {self.mode})")
        if self.mixed:
            raise OtherPixels("values of several kinds, floating-point and whole")
        unit = self.mode == "F" and self.low >= 0 and self.high <= 1
        depth = next((bits for bits in DEPTHS if self.high < 2**bits), None)
        small = self.mode == "F" and not unit and self.high < LEAST_HIGHEST
        if self.low < 0 or depth is None or small:
            raise OtherPixels(
                f"values from {self.low:,.4g} to {self.high:,.4g} (mode {self.mode}), whose depth"
                " is not known"
            )
        return 1 if unit else depth

    def background(self) -> int:
        """Returns the grey behind transparent pixels: white, or black for bright images."""
        return BLACK if self.weight and self.light / self.weight > BRIGHT else WHITE

    def notes(self, n: int) -> list[str]:
        """Returns what a reader of the images should know, one line each."""
        notes = []
        if self.deep:
            depth = self.depth()
            how = "as 0 to 1" if depth == 1 else f"as {depth} bits"
            notes.append(
                f"{self.deep} of {n} images have values of more than 8 bits (mode {self.mode}), up"
                f" to {self.high:,.6g}: read {how} and scaled to 0..255"
            )
        if self.transparent:
            name = "white" if self.background() == WHITE else "black"
            notes.append(f"{self.transparent} of {n} images have transparent pixels: put on {name}")
        if self.frames:
            notes.append(f"{self.frames} of {n} files have several frames: the first one is read")
        return notes


def rgb(image: Image.Image, look: Look | None = None, upright: bool = True) -> Image.Image:
    """Returns an image in RGB. `look` is that of its folder, by default that of the image alone.
    `upright` turns it as its metadata says. Raises OtherPixels, and Pillow's errors."""
    look = Look().plus(image) if look is None else look
    image.load()
    image = _turned(image) if upright else image
    if _is_deep(image):
        values = np.asarray(image, dtype=np.float32) * (WHITE / (2 ** look.depth() - 1))
        return Image.fromarray(values.round().clip(0, WHITE).astype(np.uint8)).convert("RGB")
    layer = _layer(image)
    if layer is not None:
        behind = Image.new("RGBA", layer.size, (*[look.background()] * 3, WHITE))
        return Image.alpha_composite(behind, layer).convert("RGB")
    try:
        return image.convert("RGB")
    except ValueError:
        raise OtherPixels(f"mode {image.mode}") from None


def _layer(image: Image.Image) -> Image.Image | None:
    """Returns an image that has pixels which are not opaque in RGBA, None for any other."""
    if not image.has_transparency_data:
        return None
    layer = image.convert("RGBA")
    opacity = np.asarray(layer.getchannel("A"))
    return layer if int(opacity.min()) < WHITE else None


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _turned(image: Image.Image) -> Image.Image:
    """Returns the image upright. Metadata that cannot be read turns nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a user cannot act on it
            turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Pillow raises many types for broken metadata
        return image
    return image if turn is None else image.transpose(turn)
