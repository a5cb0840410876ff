from pathlib import Path

import numpy as np
import pytest
import torch

from jepa_lab.data.images.saliency import as_density, load_saliency, spectral_residual
from jepa_lab.errors import UserError


def pictures(n: int, size: int = 24) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8)


@pytest.mark.parametrize("shape", [(3, 3, 24, 24), (2, 1, 96, 96), (1, 3, 80, 40), (0, 1, 8, 8)])
def test_a_map_is_a_density_over_the_pixels(shape: tuple[int, ...]) -> None:
    maps = spectral_residual(torch.randint(0, 256, shape, dtype=torch.uint8))
    assert maps.shape == (shape[0], *shape[2:])
    assert maps.dtype == torch.float32
    assert bool((maps >= 0).all())
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(shape[0]))


@pytest.mark.parametrize(("row", "column"), [(4, 18), (18, 4), (12, 12)])
def test_the_odd_spot_of_a_smooth_image_is_salient(row: int, column: int) -> None:
    wave = torch.sin(torch.arange(24) * 2 * torch.pi / 24)
    image = (
        (100 + 40 * wave[:, None] + 30 * wave + 4 * torch.randn(1, 1, 24, 24))
        .clamp(0, 255)
        .to(torch.uint8)
    )
    image[..., row, column] = 255
    peak = int(spectral_residual(image).argmax())
    assert abs(peak // 24 - row) <= 1
    assert abs(peak % 24 - column) <= 1


def test_the_spectral_residual_equals_its_formula_in_numpy() -> None:
    image = pictures(1, 16)
    grey = image.double().numpy().mean((0, 1))
    spectrum = np.fft.fft2(grey)
    log = np.log(np.abs(spectrum))
    mean = sum(np.roll(log, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    energy = np.abs(np.fft.ifft2(np.exp(log - mean + 1j * np.angle(spectrum)))) ** 2
    at = np.arange(16)
    blur = np.exp(-0.5 * ((at[:, None] - at) / (2.5 * 16 / 64)) ** 2)
    blur /= blur.sum(1, keepdims=True)
    expected = blur @ energy @ blur.T
    found = spectral_residual(image)[0].double().numpy()
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-3)


def test_saliency_is_flipped_and_transposed_with_the_image() -> None:
    images = pictures(3) // 2
    maps = spectral_residual(images)
    torch.testing.assert_close(
        spectral_residual(images.flip(-1)), maps.flip(-1), rtol=1e-4, atol=1e-7
    )
    torch.testing.assert_close(
        spectral_residual(images.transpose(2, 3)), maps.transpose(1, 2), rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("grey", [0, 77, 255])
def test_an_image_of_one_grey_has_the_uniform_density(grey: int) -> None:
    maps = spectral_residual(torch.full((2, 1, 20, 20), grey, dtype=torch.uint8))
    torch.testing.assert_close(maps, torch.full_like(maps, 1 / 400), rtol=0.05, atol=0)


def test_a_map_does_not_depend_on_the_images_beside_it() -> None:
    images = pictures(30)
    alone = torch.cat([spectral_residual(x) for x in images.split(1)])
    assert torch.equal(alone, spectral_residual(images))


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)]
)
def test_input_that_is_not_a_batch_of_images_is_refused(images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="uint8"):
        spectral_residual(images)


def test_a_map_of_zeros_becomes_uniform() -> None:
    assert torch.equal(as_density(torch.zeros(1, 4, 5)), torch.full((1, 4, 5), 1 / 20))


@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 1, 6, 7)])
def test_maps_of_a_file_are_scaled_to_sum_one_and_keep_their_order(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    raw = np.random.default_rng(0).random(shape).astype(np.float16)
    np.save(tmp_path / "train.npy", raw)
    maps = load_saliency(tmp_path / "train.npy", 5, (6, 7), "dataset.saliency_path=x")
    flat = raw.astype(np.float64).reshape(5, -1)
    np.testing.assert_allclose(maps.flatten(1), flat / flat.sum(1, keepdims=True), rtol=1e-5)


def broken(i: int, value: float) -> np.ndarray:
    maps = np.ones((5, 6, 6), dtype=np.float32)
    maps[i:, 2, 3] = value
    return maps


ZERO = np.ones((5, 6, 6))
ZERO[2] = 0
BAD: list[tuple[np.ndarray, str]] = [
    (broken(3, -1.0), "image 3 has negative values"),
    (broken(1, np.nan), "image 1 has values that are not finite"),
    (broken(4, np.inf), "image 4 has values that are not finite"),
    (ZERO, "image 2 is zero everywhere"),
    (np.ones((3, 6, 6)), "image 3 has no map"),
    (np.ones((6, 6, 6)), "6 maps for 5 images"),
    (np.ones((5, 6, 5)), "image 0 .* is 6x5, its image 6x6"),
    (np.ones((5, 2, 6, 6)), "densities"),
    (np.full((5, 6, 6), "a"), "densities"),
    (np.full((5, 6, 6), 1e300), "image 0 has values that are not finite"),
    (np.ones((5, 6, 6), dtype=[("map", float)]), "densities"),
]


@pytest.mark.parametrize(("maps", "message"), BAD)
def test_a_file_with_a_wrong_map_is_refused_with_the_first_image_named(
    maps: np.ndarray, message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "train.npy", maps)
    with pytest.raises(UserError, match=message) as error:
        load_saliency(tmp_path / "train.npy", 5, (6, 6), "dataset.saliency_path=x")
    assert str(error.value).startswith("dataset.saliency_path=x: ")
    assert "\n" not in str(error.value)


def test_a_missing_or_unreadable_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        load_saliency(tmp_path / "train.npy", 5, (6, 6), "dataset.saliency_path=x")
    (tmp_path / "train.npy").write_bytes(b"not an array")
    with pytest.raises(UserError, match="not a readable"):
        load_saliency(tmp_path / "train.npy", 5, (6, 6), "dataset.saliency_path=x")
    with (tmp_path / "train.npy").open("wb") as file:
        np.savez(file, maps=np.ones((5, 6, 6)))
    with pytest.raises(UserError, match=r"not a readable \.npy but an \.npz"):
        load_saliency(tmp_path / "train.npy", 5, (6, 6), "dataset.saliency_path=x")
