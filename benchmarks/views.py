"""Measures sequences of rendered views per second, compared with plain torchvision pipelines.

    python benchmarks/views.py [--views KIND] [--json PATH]

Ours: draws, views and actions of a whole batch, median of five runs. The baselines render one view
at a time in a Dataset under a DataLoader, without actions, with the best of 0, 1 and 2 workers. The
start of the workers does not count. `shortest` is the least that torchvision needs: PIL rotate or
one PIL affine, ToTensor, Normalize. `published` does the same as the published code. For rotations
it equals `shortest`. For affine views it pads, resizes, pads or crops, rotates, translates and
crops a tensor. For augmentations it uses torchvision's transforms on PIL images, and `shortest` is
the faster of it and transforms.v2 on uint8 tensors. Images are random pixels, because the time does
not depend on them. On other machines compare the ratios, not the rates.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torchvision.transforms.functional as TF
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as v1
from torchvision.transforms import InterpolationMode, v2

from jepa_lab.data.views.build import ViewGroup, make_view_group

CASES = [  # views, channels, size
    ("rotation", 3, 32),
    ("affine", 1, 28),
    ("affine", 3, 32),
    ("augment", 3, 32),
]
BATCHES = (256, 64)
N_VIEWS = 4
BASELINE_SEQUENCES = 1024


class PerSampleViews(Dataset[Tensor]):
    """Renders the views (V, C, H, W) of one image at a time. The first view is untouched, except
    for augmentations."""

    def __init__(self, kind: str, images: Tensor, group: ViewGroup, published: bool) -> None:
        self.published = published
        self.pixels = images.permute(0, 2, 3, 1).squeeze(-1).numpy()
        self.kind = kind
        self.group = group
        self.images = images
        self.chains = [
            augmentations(v1 if published else v2, group, target) for target in (False, True)
        ]

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int) -> Tensor:
        if self.kind == "augment" and not self.published:
            return torch.stack(
                [self.chains[v == N_VIEWS - 1](self.images[i]) for v in range(N_VIEWS)]
            )
        picture = Image.fromarray(self.pixels[i])
        return torch.stack([self.view(picture, v) for v in range(N_VIEWS)])

    def view(self, picture: Image.Image, v: int) -> Tensor:
        if self.kind == "augment":
            return self.chains[v == N_VIEWS - 1](picture)
        if self.published and self.kind == "affine":
            tensor = TF.to_tensor(picture)
            return self.normalised(published_chain(tensor) if v > 0 else tensor)
        if v > 0 and self.kind == "rotation":
            picture = TF.rotate(picture, 90.0 * int(torch.randint(4, ())))
        elif v > 0:
            theta, scale = torch.rand(2).tolist()
            tx, ty = torch.randint(-7, 8, (2,)).tolist()
            picture = TF.affine(
                picture,
                150 * theta - 75,
                [tx, ty],
                0.5 + scale / 2,
                [0.0, 0.0],
                InterpolationMode.BILINEAR,
            )
        return self.normalised(TF.to_tensor(picture))

    def normalised(self, tensor: Tensor) -> Tensor:
        return TF.normalize(tensor, list(self.group.mean), list(self.group.std))


def augmentations(t: Any, group: ViewGroup, target: bool) -> Any:
    """Returns the published chain of transforms for one view, as torchvision transforms of PIL
    images (v1) or uint8 tensors (v2)."""
    blur = t.GaussianBlur(3, (0.1, 2.0))
    to_float = [t.ToTensor()] if t is v1 else [t.ToDtype(torch.float32, scale=True)]
    return t.Compose(
        [
            t.RandomResizedCrop(
                32, (0.2, 1.0), interpolation=InterpolationMode.BICUBIC, antialias=True
            ),
            t.RandomHorizontalFlip(),
            t.RandomApply([t.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
            t.RandomGrayscale(0.2),
            t.RandomApply([blur], 0.1) if target else blur,
            *([t.RandomSolarize(128, 0.2)] if target else []),
            *to_float,
            t.Normalize(group.mean, group.std),
        ]
    )


def published_chain(image: Tensor) -> Tensor:
    """Scales on a padded canvas, rotates and translates: three resamplings of (C, H, W)."""
    size = image.shape[-1]
    canvas = size + 12
    theta, scale = torch.rand(2).tolist()
    tx, ty = torch.randint(-7, 8, (2,)).tolist()
    image = TF.pad(image, [6])
    scaled = TF.resize(image, [int(canvas * (0.5 + scale / 2))] * 2, antialias=True)
    image = TF.center_crop(scaled, [canvas, canvas])
    image = TF.rotate(image, 150 * theta - 75)
    image = TF.affine(image, 0.0, [tx, ty], 1.0, [0.0, 0.0])
    return TF.center_crop(image, [size, size])


def batched_rate(group: ViewGroup, images: Tensor) -> float:
    """Returns sequences per second, the median of five runs of about half a second each."""
    index = torch.arange(len(images))

    def step(epoch: int) -> None:
        group(images, None, index, seed=0, split="train", epoch=epoch)

    start = time.perf_counter()
    for epoch in range(3):
        step(epoch)
    steps = max(3, int(0.3 / (time.perf_counter() - start) * 3))
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        for epoch in range(steps):
            step(epoch)
        rates.append(steps * len(images) / (time.perf_counter() - start))
    return statistics.median(rates)


def per_sample_rate(dataset: PerSampleViews, batch: int, workers: int) -> float:
    """Returns sequences per second of the faster of the second and third epoch. The first epoch
    starts the workers."""
    loader = DataLoader(
        dataset, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        for _views in loader:
            pass
        rates.append(len(dataset) / (time.perf_counter() - start))
    return max(rates[1:])


def bench(kind: str, channels: int, size: int) -> list[dict[str, float | str]]:
    """Returns one row for each batch size."""
    torch.manual_seed(0)
    first_view = "random" if kind == "augment" else "reference"
    group = make_view_group(
        kind, n_views=N_VIEWS, mean=(0.5,) * channels, std=(0.25,) * channels, first_view=first_view
    )
    images = torch.randint(0, 256, (BASELINE_SEQUENCES, channels, size, size), dtype=torch.uint8)
    shortest = best_rate(PerSampleViews(kind, images, group, published=False))
    published = (
        shortest
        if kind == "rotation"
        else best_rate(PerSampleViews(kind, images, group, published=True))
    )
    if kind == "augment":
        shortest = max(shortest, published)
    rows: list[dict[str, float | str]] = []
    for batch in BATCHES:
        ours = batched_rate(group, images[:batch])
        row: dict[str, float | str] = {
            "case": f"{kind} {channels}x{size}x{size}, V={N_VIEWS}, batch {batch}"
        }
        row |= {
            "ours_per_s": round(ours),
            "shortest_per_s": round(shortest),
            "published_per_s": round(published),
        }
        row |= {
            "ratio_shortest": round(ours / shortest, 1),
            "ratio_published": round(ours / published, 1),
        }
        rows.append(row)
    return rows


def best_rate(dataset: PerSampleViews) -> float:
    """Returns the rate of the DataLoader with its best number of workers."""
    return max(per_sample_rate(dataset, BATCHES[0], workers) for workers in (0, 1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    parser.add_argument(
        "--views", choices=sorted({kind for kind, _, _ in CASES}), help="measure only these views"
    )
    arguments = parser.parse_args()
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    torch.set_num_threads(cores)
    print(
        f"torch {torch.__version__}, {cores} cores, {torch.get_num_threads()} threads; sequences"
        " per second\n"
    )
    print(f"{'case':<38}{'ours':>10}{'shortest':>10}{'ratio':>8}{'published':>11}{'ratio':>8}")
    rows = []
    for case in [c for c in CASES if arguments.views in (None, c[0])]:
        for row in bench(*case):
            rows.append(row)
            print(
                f"{row['case']:<38}{row['ours_per_s']:>10,}{row['shortest_per_s']:>10,}{row['ratio_shortest']:>8}"
                f"{row['published_per_s']:>11,}{row['ratio_published']:>8}"
            )
    if arguments.json:
        result = {
            "torch": torch.__version__,
            "cores": cores,
            "threads": torch.get_num_threads(),
            "rows": rows,
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
