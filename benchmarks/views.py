"""Measures sequences of rendered views per second, compared with plain torchvision pipelines.

    python benchmarks/views.py [--views KIND] [--threads N] [--batched] [--json PATH]

Ours: draws, views and actions of a whole batch, median of five runs. The baselines render one view
at a time in a Dataset under a DataLoader, without actions, with the best of 0, 1 and 2 workers. The
start of the workers does not count. `shortest` is the least that torchvision needs: PIL rotate or
one PIL affine, ToTensor, Normalize. `published` does the same as the published code. For rotations
it equals `shortest`. For affine views it pads, resizes, pads or crops, rotates, translates and
crops a tensor. For augmentations it uses torchvision's transforms on PIL images, and `shortest` is
the faster of it and transforms.v2 on uint8 tensors. `kornia` is kornia's RandomAffine and Normalize
on a whole batch, without actions, in turns with ours; its column is empty for other views and where
kornia is not installed. With one thread both are timed in CPU seconds, which a busy machine changes
less. `--batched` leaves the torchvision baselines out. Images are random pixels, because the time
does not depend on them. On other machines compare the ratios, not the rates.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
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


def ours(group: ViewGroup, images: Tensor) -> Callable[[int], object]:
    """Returns a function of the epoch that makes all views and actions of the images."""
    index = torch.arange(len(images))
    return lambda epoch: group(images, None, index, seed=0, split="train", epoch=epoch)


def kornia_chain(group: ViewGroup, images: Tensor) -> Callable[[int], object]:
    """Returns a function that makes all affine views of the images by kornia, the first one
    untouched."""
    augmentation: Any = importlib.import_module("kornia.augmentation")
    normalise = augmentation.Normalize(torch.tensor(group.mean), torch.tensor(group.std))
    shift = 7 / images.shape[-1]
    turn = augmentation.RandomAffine(75.0, (shift, shift), (0.5, 1.0), p=1.0)

    def views(_epoch: int) -> Tensor:
        first = images / 255
        moved = turn(first.repeat_interleave(N_VIEWS - 1, dim=0))
        parts = [normalise(first)[:, None], normalise(moved).unflatten(0, (len(images), -1))]
        return torch.cat(parts, dim=1)

    return views


@torch.inference_mode()
def batched_rates(works: list[Callable[[int], object]], batch: int) -> list[float]:
    """Returns the sequences per second of each work, medians of nine runs of about a third of a
    second, in turns."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter

    def seconds(work: Callable[[int], object], steps: int) -> float:
        start = clock()
        for epoch in range(steps):
            work(epoch)
        return clock() - start

    steps = [max(3, int(0.3 / seconds(work, 3) * 3)) for work in works]
    rates = [
        [n * batch / seconds(work, n) for work, n in zip(works, steps, strict=True)]
        for _ in range(9)
    ]
    return [statistics.median(column) for column in zip(*rates, strict=True)]


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


def bench(kind: str, channels: int, size: int, batched_only: bool) -> list[dict[str, float | str]]:
    """Returns one row for each batch size."""
    torch.manual_seed(0)
    first_view = "random" if kind == "augment" else "reference"
    group = make_view_group(
        kind, n_views=N_VIEWS, mean=(0.5,) * channels, std=(0.25,) * channels, first_view=first_view
    )
    images = torch.randint(0, 256, (BASELINE_SEQUENCES, channels, size, size), dtype=torch.uint8)
    baselines = {} if batched_only else torchvision_rates(kind, images, group)
    rows: list[dict[str, float | str]] = []
    for batch in BATCHES:
        works = [ours(group, images[:batch])]
        if kind == "affine" and find_spec("kornia"):
            works.append(kornia_chain(group, images[:batch]))
        rate, *kornia = batched_rates(works, batch)
        row: dict[str, float | str] = {
            "case": f"{kind} {channels}x{size}x{size}, V={N_VIEWS}, batch {batch}",
            "ours_per_s": round(rate),
        }
        for name, other in (baselines | dict(zip(["kornia"], kornia, strict=False))).items():
            row |= {f"{name}_per_s": round(other), f"ratio_{name}": round(rate / other, 1)}
        rows.append(row)
    return rows


def torchvision_rates(kind: str, images: Tensor, group: ViewGroup) -> dict[str, float]:
    """Returns the rates of the baselines `shortest` and `published`."""
    shortest = best_rate(PerSampleViews(kind, images, group, published=False))
    if kind == "rotation":
        return {"shortest": shortest, "published": shortest}
    published = best_rate(PerSampleViews(kind, images, group, published=True))
    if kind == "augment":
        shortest = max(shortest, published)
    return {"shortest": shortest, "published": published}


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
    parser.add_argument("--threads", type=int, help="threads of torch (default: one per core)")
    parser.add_argument("--batched", action="store_true", help="measure ours and kornia only")
    arguments = parser.parse_args()
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    torch.set_num_threads(arguments.threads or cores)
    print(
        f"torch {torch.__version__}, {cores} cores, {torch.get_num_threads()} threads; sequences"
        " per second\n"
    )
    baselines = ("shortest", "published", "kornia")
    print(f"{'case':<38}{'ours':>10}" + "".join(f"{name:>11}{'ratio':>8}" for name in baselines))
    rows = []
    for case in [c for c in CASES if arguments.views in (None, c[0])]:
        for row in bench(*case, arguments.batched):
            rows.append(row)
            cells = [f"{row['ours_per_s']:>10,}"]
            for name in baselines:
                found = row.get(f"{name}_per_s")
                cells.append(f"{'-':>11}{'-':>8}" if found is None else f"{found:>11,}")
                cells += [] if found is None else [f"{row[f'ratio_{name}']:>8}"]
            print(f"{row['case']:<38}" + "".join(cells), flush=True)
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
