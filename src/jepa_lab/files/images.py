"""Opens image files within limits. Only the formats of pixels are read, by Pillow's own code."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from jepa_lab.files import limits
from jepa_lab.files.limits import OverLimit

# Pillow would also start other programs, as Ghostscript for an EPS file with the suffix .png
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
BANDS, BITS = 277, 258  # tags of TIFF


class OtherPixels(ValueError):
    """An image whose pixels cannot be shown as RGB, such as a TIFF of 13 bands. The text is the
    reason, without the name of the file."""


def open_image(file: Path | io.BytesIO) -> Image.Image:
    """Opens an image without decoding its pixels, from a file or its content. Raises OverLimit for
    more than limits.PIXELS pixels, OtherPixels for a TIFF of bands that Pillow has no mode for, and
    any error of Pillow for another file."""
    if isinstance(file, Path):
        limits.require_regular(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
        try:
            image = Image.open(file, formats=FORMATS)
        except Image.DecompressionBombError:
            raise OverLimit(f"more than the {limits.PIXELS:,} pixels that are read") from None
        except UnidentifiedImageError:
            reason = _tiff_bands(file)
            if reason:
                raise OtherPixels(reason) from None
            raise
    width, height = image.size
    if width * height > limits.PIXELS:
        image.close()
        raise OverLimit(f"{width:,} x {height:,} pixels; at most {limits.PIXELS:,} are read")
    return image


def _tiff_bands(given: Path | io.BytesIO) -> str:
    """Returns the bands of a TIFF in words, or "" for another file."""
    try:
        with open(given, "rb") if isinstance(given, Path) else io.BytesIO(given.getvalue()) as file:
            tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
            bands, bits = tags.get(BANDS, 1), tags.get(BITS, (1,))
    except Exception:  # Pillow raises many types for a broken file
        return ""
    deep = max(bits) if isinstance(bits, tuple) else bits
    return f"{bands} band{'s' if bands != 1 else ''} of {deep} bits"
