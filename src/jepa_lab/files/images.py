"""Opens image files within limits. Only the formats of pixels are read, by Pillow's own code."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image

from jepa_lab.files import limits
from jepa_lab.files.limits import OverLimit

# Pillow would also start other programs, as Ghostscript for an EPS file with the suffix .png
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


def open_image(path: Path) -> Image.Image:
    """Opens an image without decoding its pixels. Raises OverLimit for more than limits.PIXELS
    pixels, and any error of Pillow for another file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
        try:
            image = Image.open(path, formats=FORMATS)
        except Image.DecompressionBombError:
            raise OverLimit(f"more than the {limits.PIXELS:,} pixels that are read") from None
    width, height = image.size
    if width * height > limits.PIXELS:
        image.close()
        raise OverLimit(f"{width:,} x {height:,} pixels; at most {limits.PIXELS:,} are read")
    return image
