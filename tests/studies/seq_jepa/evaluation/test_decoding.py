"""Decoders on latents with and without the information of an image, and the command that draws the
result."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from jepa_lab import decode as command
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.evaluation import decoding
from jepa_lab.studies.seq_jepa.evaluation.decoder import (
    ConvDecoder,
    decode,
    image_r2,
    psnr,
    train_decoder,
)

Make = Callable[..., Config]


def blobs(n: int) -> torch.Tensor:
    """Images (n, 1, 8, 8) with one bright bar each, of varying place and brightness."""
    generator = torch.Generator().manual_seed(3)
    rows = torch.randint(0, 8, (n,), generator=generator)
    images = torch.zeros(n, 1, 8, 8)
    images[torch.arange(n), 0, rows] = 0.5 + 0.5 * torch.rand(n, 1, generator=generator)
    return images


def test_invertible_encoder_is_decoded_and_noise_is_not() -> None:
    images = blobs(600)
    turn = torch.linalg.qr(torch.randn(65, 65))[0]
    # the length of a row varies
    latents = torch.cat([images.flatten(1), torch.ones(600, 1)], dim=1) @ turn
    found = decode(train_decoder(latents[:500], images[:500], seed=0, steps=150), latents[500:])
    mean = images[:500].mean(dim=0).expand_as(found)
    assert image_r2(found, images[500:]) > 0.9
    assert psnr(found, images[500:]) > psnr(mean, images[500:]) + 10
    noise = torch.randn(600, 65)
    blind = decode(train_decoder(noise[:500], images[:500], seed=0, steps=30), noise[500:])
    assert image_r2(blind, images[500:]) < 0.1


def test_psnr_and_r_squared_have_their_closed_form() -> None:
    images = torch.rand(50, 3, 4, 4)
    assert psnr(images, images) == math.inf
    assert psnr(images + 0.1, images) == pytest.approx(20.0, abs=1e-4)  # 10 log10(1 / 0.01)
    assert image_r2(images, images) == 1.0
    assert image_r2(images.mean(dim=0).expand_as(images), images) == pytest.approx(0.0, abs=1e-6)
    assert math.isnan(image_r2(images[:1].expand(5, -1, -1, -1), images[:1].expand(5, -1, -1, -1)))


@pytest.mark.parametrize("size", [3, 8, 16, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_decoder_returns_images_of_any_size(size: int, channels: int) -> None:
    assert ConvDecoder(12, channels, size)(torch.randn(2, 12)).shape == (2, channels, size, size)


def test_decoder_ignores_the_length_of_latents_and_accepts_constant_ones() -> None:
    z, images = torch.randn(40, 6), torch.rand(40, 1, 8, 8)
    decoder = train_decoder(z, images, seed=0, steps=3)
    assert torch.allclose(decode(decoder, 7.0 * z), decode(decoder, z), atol=1e-5)
    collapsed = train_decoder(torch.ones(40, 6), images, seed=0, steps=3)
    assert bool(torch.isfinite(decode(collapsed, torch.ones(4, 6))).all())


def test_decoder_is_reproducible_and_moves_no_other_random_stream() -> None:
    z, images = torch.randn(40, 6), torch.rand(40, 1, 8, 8)
    before = torch.get_rng_state()
    a, b, c = (decode(train_decoder(z, images, seed=seed, steps=3), z) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import conftest

    with pytest.MonkeyPatch.context() as patch:
        conftest.without_figures(patch)
        make = conftest.maker(tmp_path_factory.mktemp("run"))
        return train(make("dataset.epochs=1", "target=ema", experiment="seq_jepa_baseline")).run_dir


def test_command_can_be_repeated_and_writes_a_row_per_latent(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main([str(finished), "--steps", "3", "--limit", "40"])
    content = json.loads((finished / "decoded.json").read_text())
    rows = {(row["tap"], row["network"], row["shows"]) for row in content["taps"]}
    this, start = decoding.THIS, decoding.RANDOM
    assert rows == {
        ("z", this, decoding.SEEN),
        ("z", start, decoding.SEEN),
        ("mean image", "none", decoding.SEEN),
        ("z_target", this, decoding.NEXT),
        ("z_hat", this, decoding.NEXT),
        ("copy of z", this, decoding.NEXT),
        ("mean image", "none", decoding.NEXT),
        ("z_agg", this, decoding.FIRST),
        ("z_agg", start, decoding.FIRST),
        ("mean image", "none", decoding.FIRST),
    }
    assert all(row["r2"] <= 1 and row["psnr"] > 0 for row in content["taps"])
    assert content["protocol"]["test images"] == 40
    assert (finished / "figures" / "decoded.png").stat().st_size > 10_000
    assert "random encoder" in capsys.readouterr().out
    command.main([str(finished), "--steps", "3", "--limit", "40", "--tap", "z_hat"])
    again = json.loads((finished / "decoded.json").read_text())
    assert {row["tap"] for row in again["taps"]} == {"z_target", "z_hat", "copy of z", "mean image"}
    # its decoder is the same as in a run with other taps
    assert [row for row in content["taps"] if row["shows"] == decoding.NEXT] == again["taps"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: shutil.rmtree(p), "no such folder"),
        (lambda p: shutil.rmtree(p / "checkpoints"), "no checkpoints/last.ckpt"),
        (lambda p: (p / "config.yaml").write_text("study: arc\n"), "only runs of seq_jepa"),
    ],
)
def test_run_that_cannot_be_decoded_gets_a_one_line_error(
    damage: Callable[[Path], None],
    says: str,
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    damage(folder)
    with pytest.raises(SystemExit) as end:
        command.main([str(folder)])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
