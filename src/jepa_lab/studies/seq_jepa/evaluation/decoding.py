"""Decoding of latents: a decoder is trained on frozen latents of training views and measured on
test images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.data.views.sequences import SequenceBatch
from jepa_lab.data.views.view_group import ViewGroup
from jepa_lab.studies.seq_jepa.evaluation.decoder import (
    BATCH,
    ConvDecoder,
    decode,
    image_r2,
    pixels,
    psnr,
    train_decoder,
)
from jepa_lab.studies.seq_jepa.evaluation.loading import LoadedRun, build_frozen, views_of
from jepa_lab.studies.seq_jepa.module import SeqJEPA

TAPS = ("z", "z_hat", "z_agg")
MOST_DRAWS = 4  # sequences of a training image
THIS, RANDOM = "this run", "random encoder"
MEAN, COPY = "mean image", "copy of z"
SEEN, NEXT, FIRST = "last view seen", "next view", "first view"
DIVERGED = "diverged"  # entry of the protocol


@dataclass(frozen=True)
class Bank:
    """Latents and images in [0, 1] of n sequences, on the CPU. `z` (n, M, d) encodes the observed
    `views` (n, M, C, s, s). `z_as_target` (n, M, d) encodes them with the encoder that makes the
    targets. `z_target` and `z_hat` (n, d) belong to the next view `target` (n, C, s, s). `z_agg` is
    (n, Da)."""

    z: Tensor
    views: Tensor
    z_as_target: Tensor
    z_agg: Tensor
    z_hat: Tensor
    z_target: Tensor
    target: Tensor


@dataclass(frozen=True)
class Decoded:
    """A measurement of the images decoded from the latents `tap` of a `network`. `shows` is the
    view that they should show. `psnr` is in dB, of the mean squared error over all test images.
    `r2` is 1 - error / variance about the mean image of the test images. Numbers and images are NaN
    for latents that are not finite."""

    tap: str
    network: str
    shows: str
    psnr: float
    r2: float
    images: Tensor  # (k, C, s, s), the shown ones only

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields but the images."""
        return {
            "tap": self.tap,
            "network": self.network,
            "shows": self.shows,
            "psnr": self.psnr,
            "r2": self.r2,
        }


@dataclass(frozen=True)
class Decoding:
    """The result of decode_run. `protocol` describes the conditions of the measurement. `originals`
    maps each view to its images (k, C, s, s)."""

    protocol: dict[str, Any]
    rows: list[Decoded]
    originals: dict[str, Tensor]

    def to_dict(self) -> dict[str, Any]:
        return {"protocol": self.protocol, "taps": [row.to_dict() for row in self.rows]}


def decode_run(
    run: LoadedRun, taps: Sequence[str], steps: int, *, limit: int = 2500, shown: int = 8
) -> Decoding:
    """Trains the decoders for `taps` on at most `limit` sequences and decodes at most as many test
    images. `shown` of the test images, evenly spaced, are kept for the figure."""
    device = torch.device(
        "cuda" if run.config.hardware.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    )
    train, test = banks(run, run.module.to(device), limit)
    places = torch.linspace(0, len(test.z) - 1, min(shown, len(test.z))).round().long()
    reader = Reader(run.config.seed, steps, device, places)
    if set(taps) & {"z", "z_agg"}:
        start = banks(run, build_frozen(run.config, run.splits).to(device), limit)
    shared = run.module.target_encoder is None  # the online encoder makes the targets
    own: ConvDecoder | None = None
    if "z" in taps:
        views = train.views.flatten(0, 1)
        own = reader.both(
            "z",
            SEEN,
            train.z.flatten(0, 1),
            views,
            test.z[:, -1],
            test.views[:, -1],
            start[0].z.flatten(0, 1),
            start[1].z[:, -1],
        )
        reader.mean_image(SEEN, train.views[:, -1], test.views[:, -1])
    if "z_hat" in taps:
        if own is None or not shared:
            own = reader.fit(train.z_as_target.flatten(0, 1), train.views.flatten(0, 1))
        for tap in ("z_target", "z_hat"):
            reader.read(tap, THIS, NEXT, own, getattr(test, tap), test.target)
        reader.read(COPY, THIS, NEXT, own, test.z_as_target[:, -1], test.target)
        reader.mean_image(NEXT, train.target, test.target)
    if "z_agg" in taps:
        reader.both(
            "z_agg",
            FIRST,
            train.z_agg,
            train.views[:, 0],
            test.z_agg,
            test.views[:, 0],
            start[0].z_agg,
            start[1].z_agg,
        )
        reader.mean_image(FIRST, train.views[:, 0], test.views[:, 0])
    originals = {
        SEEN: test.views[places, -1],
        NEXT: test.target[places],
        FIRST: test.views[places, 0],
    }
    about = {
        "steps": steps,
        "batch": BATCH,
        "decoder parameters": reader.parameters,
        "training sequences": len(train.z),
        "test images": len(test.z),
        "pixels": test.target.shape[-1],
        "shown": places.tolist(),
    }
    if any(math.isnan(row.psnr) for row in reader.rows):
        about[DIVERGED] = "latents that are not finite; they are not decoded"
    return Decoding({**_protocol(run), **about}, reader.rows, originals)


class Reader:
    """Trains decoders and decodes latents. `rows` holds the results so far, `parameters` the
    decoders' numbers of parameters."""

    def __init__(self, seed: int, steps: int, device: torch.device, places: Tensor) -> None:
        self.seed, self.steps, self.device, self.places = seed, steps, device, places
        self.rows: list[Decoded] = []
        self.parameters: list[int] = []

    def fit(self, latents: Tensor, images: Tensor) -> ConvDecoder | None:
        """Trains a decoder with a random stream of its own seed. Returns None for latents of a
        diverged network, which are not finite."""
        if not bool(torch.isfinite(latents).all()):
            return None
        decoder = train_decoder(
            latents.to(self.device), images.to(self.device), seed=self.seed, steps=self.steps
        )
        self.parameters.append(sum(p.numel() for p in decoder.parameters()))
        return decoder

    def read(
        self,
        tap: str,
        network: str,
        shows: str,
        decoder: ConvDecoder | None,
        z: Tensor,
        images: Tensor,
    ) -> None:
        """Adds a row: the decoded latents (n, d) of a network, compared with the images of the view
        that they should show."""
        if decoder is None or not bool(torch.isfinite(z).all()):
            decoded = torch.full_like(images, torch.nan)
        else:
            decoded = decode(decoder, z.to(self.device))
        self._row(tap, network, shows, decoded, images)

    def mean_image(self, shows: str, of_training: Tensor, images: Tensor) -> None:
        """Adds the row of a baseline without latents: the mean of the training images."""
        self._row(MEAN, "none", shows, of_training.mean(dim=0).expand_as(images), images)

    def both(
        self,
        tap: str,
        shows: str,
        z: Tensor,
        x: Tensor,
        z_test: Tensor,
        x_test: Tensor,
        start: Tensor,
        start_test: Tensor,
    ) -> ConvDecoder | None:
        """Adds a row for a tap and a row for the same tap of the untrained network. Returns the
        decoder of the first. `z`, `start` and `x` are training data: latents, latents of the
        untrained network, and images."""
        decoder = self.fit(z, x)
        self.read(tap, THIS, shows, decoder, z_test, x_test)
        self.read(tap, RANDOM, shows, self.fit(start, x), start_test, x_test)
        return decoder

    def _row(self, tap: str, network: str, shows: str, decoded: Tensor, images: Tensor) -> None:
        shown = decoded[self.places]
        self.rows.append(
            Decoded(tap, network, shows, psnr(decoded, images), image_r2(decoded, images), shown)
        )


def banks(run: LoadedRun, module: SeqJEPA, limit: int) -> tuple[Bank, Bank]:
    """Returns the banks of at most `limit` training sequences and of at most `limit` test images. A
    training image that comes several times has new views each time."""
    group = views_of(run.config, run.splits, run.config.dataset.n_views)
    train, test = run.splits.train, run.splits.test
    draws = max(1, min(MOST_DRAWS, limit // len(train.images)))
    names = [f"decode-train-{draw}" for draw in range(draws)]
    return (
        _joined(
            [
                part
                for name in names
                for part in _encoded(run, module, group, train, name, limit // draws)
            ]
        ),
        _joined(_encoded(run, module, group, test, "frozen-test-0", limit)),
    )


@torch.no_grad()
def _encoded(
    run: LoadedRun, module: SeqJEPA, group: ViewGroup, source: ImageSource, split: str, limit: int
) -> list[Bank]:
    parts = []
    for index in torch.arange(min(limit, len(source.images))).split(BATCH):
        maps = None if source.maps is None else source.maps[index].to(module.device)
        batch: SequenceBatch = group(
            source.images[index].to(module.device),
            None,
            index.to(module.device),
            seed=run.config.seed,
            split=split,
            epoch=0,
            first_view=run.config.dataset.eval_first_view,
            maps=maps,
        )
        reps, images = module(batch), pixels(batch.views, group)
        again = (
            reps.z
            if module.target_encoder is None
            else module.network.encode(batch.observed, module.target_encoder)
        )
        z, again, z_agg, z_hat, z_target = (
            latent.float().cpu()
            for latent in (reps.z, again, reps.z_agg, reps.z_hat, reps.z_target)
        )
        parts.append(Bank(z, images[:, :-1], again, z_agg, z_hat, z_target, images[:, -1]))
    return parts


def _joined(parts: Sequence[Bank]) -> Bank:
    return Bank(
        *(torch.cat([getattr(part, name) for part in parts]) for name in Bank.__dataclass_fields__)
    )


def _protocol(run: LoadedRun) -> dict[str, Any]:
    return {
        "run": run.path.name,
        "experiment": run.config.name,
        "dataset": run.config.dataset.name,
        "seed": run.config.seed,
        "step": run.step,
        "state": run.state,
        "decoder": (
            "convolutional, one for each space, trained on frozen latents of training images'"
            " views; latents scaled to length 1, then standardised"
        ),
        "z_hat": "decoded by the decoder of the target space, which never saw a prediction",
        RANDOM: (
            "the network at initialisation; a separate decoder for its latents, trained for as many"
            " steps"
        ),
    }
