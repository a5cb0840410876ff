"""Images of any mode keep what they show: depth, transparency, orientation, frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin

from jepa_lab.data.images.image_files import read_image
from jepa_lab.data.images.image_source import Splits, load_splits
from jepa_lab.data.images.public_folders import _read
from jepa_lab.errors import UserError

SIZE = 24
RAMP = np.linspace(0, 1, SIZE)[None].repeat(SIZE, 0)
ORIENTATION = 0x0112


def gray(seed: int) -> np.ndarray:
    """A smooth image (SIZE, SIZE) in [0, 1] that reaches 0 and 1, other for every seed."""
    a, b, c = np.random.default_rng(seed).random(3)
    values = a * RAMP + b * RAMP.T + 0.5 * np.sin(9 * c * RAMP)
    return np.asarray((values - values.min()) / (values.max() - values.min()))


def fill(folder: Path, make: Callable[[np.ndarray], Image.Image], ending: str = "png") -> Path:
    folder.mkdir(exist_ok=True)
    for i in range(20):
        make(gray(i)).save(folder / f"{i:02d}.{ending}")
    return folder


def loaded(folder: Path) -> Splits:
    return load_splits("folder", root=str(folder), image_size=SIZE)


def whole(values: np.ndarray, most: int, kind: type) -> Image.Image:
    return Image.fromarray((values * most).round().astype(kind))


DEEP: dict[str, tuple[Callable[[np.ndarray], Image.Image], str]] = {
    "16 bits": (lambda g: whole(g, 65535, np.uint16), "png"),
    "12 of 16 bits": (lambda g: whole(g, 4095, np.uint16), "png"),
    "16 bits, TIFF": (lambda g: whole(g, 65535, np.uint16), "tif"),
    "32 bits": (lambda g: whole(g, 2**31 - 1, np.int32), "tif"),
    "32 bits, values of 16": (lambda g: whole(g, 65535, np.int32), "tif"),
    "float 0 to 1": (lambda g: Image.fromarray(g.astype(np.float32)), "tif"),
    "float 0 to 255": (lambda g: Image.fromarray((255 * g).astype(np.float32)), "tif"),
    "float 0 to 65535": (lambda g: Image.fromarray((65535 * g).astype(np.float32)), "tif"),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_images_are_scaled_by_their_depth(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, ending = DEEP[name]
    deep = loaded(fill(tmp_path / "deep", make, ending)).train.images.float()
    plain = [(255 * gray(i)).round() for i in range(20)]
    nearest = [min(np.abs(x[0].numpy() - g).max() for g in plain) for x in deep]
    assert max(nearest) <= 1
    assert "20 of 20 images have values of more than 8 bits" in capsys.readouterr().err


def test_the_depth_is_that_of_the_folder_so_that_images_stay_comparable(tmp_path: Path) -> None:
    fill(tmp_path / "im", lambda g: whole(g, 4095, np.uint16))
    whole(gray(0), 300, np.uint16).save(tmp_path / "im" / "00.png")  # a dark one of the same camera
    alone = read_image(tmp_path / "im" / "00.png", SIZE, "x").max()
    together = min(
        int(x.max()) for part in vars(loaded(tmp_path / "im")).values() for x in part.images
    )
    assert together == round(300 / 4095 * 255) < int(alone)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (gray(0) * 3000 - 200, "values from -200 to 2,800 (mode F), whose depth is not known"),
        (gray(0) * 3, "values from 0 to 3 (mode F)"),
        (np.where(gray(0) > 0.5, np.nan, 1.0), "values that are not finite (mode F)"),
        ((gray(0) * 100 - 50).astype(np.int32), "values from -50 to 50 (mode I)"),
    ],
)
def test_values_without_a_known_depth_are_refused_with_the_reason(
    values: np.ndarray, reason: str, tmp_path: Path
) -> None:
    kind = values.dtype if values.dtype == np.int32 else np.float32
    fill(tmp_path / "im", lambda _: Image.fromarray(values.astype(kind)), "tif")
    with pytest.raises(UserError, match="20 of 20 images have") as error:
        loaded(tmp_path / "im")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_kinds_of_depth_are_not_mixed(tmp_path: Path) -> None:
    fill(tmp_path / "im", DEEP["16 bits"][0], "tif")
    Image.fromarray(gray(0).astype(np.float32)).save(tmp_path / "im" / "a.tif")
    with pytest.raises(UserError, match="floating-point and whole"):
        loaded(tmp_path / "im")


def layers(colour: int, hidden: int) -> Callable[[np.ndarray], Image.Image]:
    """Makes an image whose shape lies in its transparency alone."""

    def make(g: np.ndarray) -> Image.Image:
        opaque = g > 0.5
        rgba = np.zeros((SIZE, SIZE, 4), np.uint8)
        rgba[opaque] = (colour, colour, colour, 255)
        rgba[~opaque, :3] = hidden
        return Image.fromarray(rgba)

    return make


@pytest.mark.parametrize(
    ("colour", "hidden", "behind"), [(0, 0, "white"), (255, 255, "black"), (100, 37, "white")]
)
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_transparency_hides_is_not_shown(
    colour: int,
    hidden: int,
    behind: str,
    mode: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def make(g: np.ndarray) -> Image.Image:
        image = layers(colour, hidden)(g)
        return (
            image.quantize(4, method=Image.Quantize.FASTOCTREE)
            if mode == "P"
            else image.convert(mode)
        )

    images = loaded(fill(tmp_path / "im", make)).train.images
    ground = 255 if behind == "white" else 0
    assert images.unique().tolist() == sorted([colour, ground])
    assert f"20 of 20 images have transparent pixels: put on {behind}" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA", "CMYK"])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_opaque_images_of_eight_bits_are_converted_as_before(
    mode: str, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if mode == "CMYK" and ending == "png":
        ending = "jpg"

    def make(g: np.ndarray) -> Image.Image:
        rgb = np.stack([255 * g, 255 * g[::-1], 255 * g.T], 2).astype(np.uint8)
        return Image.fromarray(rgb).convert(mode)

    fill(tmp_path / "im", make, ending)
    for path in sorted((tmp_path / "im").iterdir()):
        with Image.open(path) as image:
            plain = torch.from_numpy(np.asarray(image.convert("RGB")).copy()).permute(2, 0, 1)
        assert torch.equal(read_image(path, SIZE, "x"), plain)
    assert loaded(tmp_path / "im").train.images.float().std() > 40
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_upright_and_published_sets_as_they_lie(
    orientation: int, tmp_path: Path
) -> None:
    upright = np.zeros((SIZE, SIZE, 3), np.uint8)
    upright[:4], upright[:, :4, 2] = 200, 120  # the sky above, something else at the left
    stored = {  # what a camera writes, from the meaning of the tag
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    wanted = torch.from_numpy(upright).permute(2, 0, 1)
    assert torch.equal(read_image(path, SIZE, "x"), wanted)
    as_stored = torch.from_numpy(np.ascontiguousarray(stored)).permute(2, 0, 1)
    assert torch.equal(_read([(path, 0)], SIZE, "x").images[0], as_stored)


@pytest.mark.filterwarnings("error")
def test_broken_metadata_turns_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray((255 * RAMP).astype(np.uint8)).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert read_image(path, SIZE, "x")[0, 0].tolist() == (255 * RAMP[0]).astype(np.uint8).tolist()


@pytest.mark.parametrize("ending", ["gif", "tif", "png"])
def test_the_first_of_several_frames_is_read_and_a_line_says_so(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "im", lambda g: whole(g, 255, np.uint8))
    frames = [whole(gray(50 + k), 255, np.uint8) for k in range(3)]
    frames[0].save(tmp_path / "im" / f"many.{ending}", save_all=True, append_images=frames[1:])
    loaded(tmp_path / "im")
    assert "1 of 21 files have several frames: the first one is read" in capsys.readouterr().err


def test_a_tiff_of_thirteen_bands_is_refused_for_its_bands(tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[256] = tags[257] = 4
    tags[258], tags[259], tags[262], tags[277] = (16,) * 13, 1, 1, 13
    tags[273], tags[278], tags[279] = 8, 4, 4 * 4 * 13 * 2
    fill(tmp_path / "im", lambda g: whole(g, 255, np.uint8))
    with open(tmp_path / "im" / "bands.tif", "wb") as file:
        tags.save(file)
        file.write(bytes(4 * 4 * 13 * 2))
    with pytest.raises(UserError, match=r"bands\.tif has 13 bands of 16 bits; .* choose three"):
        loaded(tmp_path / "im")


@pytest.mark.parametrize(
    ("n", "kinds", "reason"),
    [
        (200, 1, r"no val images; only 1 of 200 images differ from each other at 24x24 pixels"),
        (7, 7, r"no val images; 7 are too few to divide; add some"),
    ],
)
def test_an_empty_split_is_reported_for_its_reason(
    n: int, kinds: int, reason: str, tmp_path: Path
) -> None:
    for i in range(n):
        whole(gray(i % kinds), 255, np.uint8).save(tmp_path / f"{i}.png")
    with pytest.raises(UserError, match=reason):
        loaded(tmp_path)


@pytest.mark.parametrize(("kinds", "said"), [(90, True), (200, False), (110, False)])
def test_many_copies_are_said(
    kinds: int, said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(200):
        whole(gray(i % kinds), 255, np.uint8).save(tmp_path / f"{i}.png")
    loaded(tmp_path)
    assert ("only 90 of 200 images differ" in capsys.readouterr().err) is said
