"""Sequences per second of rendered views, beside a plain torchvision pipeline: python benchmarks/views.py [--json PATH]

Ours: draws, views and actions of a whole batch, median of five runs. The baseline renders one view at a time from a PIL
image (rotate or affine, ToTensor, Normalize) in a Dataset under a DataLoader, as the published code does, without its
actions; the best of 0, 1 and 2 workers, their start not counted. Images are random pixels: the time does not depend on
them. On other machines compare the ratio, not the rates.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import torch
import torchvision.transforms.functional as TF
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode

from jepa_lab.data.views import ViewGroup, make_view_group

CASES = [("rotation", 3, 32), ("affine", 1, 28), ("affine", 3, 32)]  # views, channels, size
BATCHES = (256, 64)
N_VIEWS = 4
BASELINE_SEQUENCES = 1024


class PerSampleViews(Dataset[Tensor]):
    """The views (V, C, H, W) of one image at a time, the first one untouched."""

    def __init__(self, kind: str, images: Tensor, group: ViewGroup) -> None:
        self.pixels = images.permute(0, 2, 3, 1).squeeze(-1).numpy()
        self.kind = kind
        self.group = group

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int) -> Tensor:
        picture = Image.fromarray(self.pixels[i])
        return torch.stack([self.view(picture, v) for v in range(N_VIEWS)])

    def view(self, picture: Image.Image, v: int) -> Tensor:
        if v > 0 and self.kind == "rotation":
            picture = TF.rotate(picture, 90.0 * int(torch.randint(4, ())))
        elif v > 0:
            theta, scale = torch.rand(2).tolist()
            tx, ty = torch.randint(-7, 8, (2,)).tolist()
            picture = TF.affine(
                picture, 150 * theta - 75, [tx, ty], 0.5 + scale / 2, [0.0, 0.0], InterpolationMode.BILINEAR
            )
        return TF.normalize(TF.to_tensor(picture), list(self.group.mean), list(self.group.std))


def batched_rate(group: ViewGroup, images: Tensor) -> float:
    """Sequences per second, the median of five runs of about half a second each."""
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
    """Sequences per second of the second and third epoch's faster one; the first starts the workers."""
    loader = DataLoader(dataset, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        for _views in loader:
            pass
        rates.append(len(dataset) / (time.perf_counter() - start))
    return max(rates[1:])


def bench(kind: str, channels: int, size: int) -> list[dict[str, float | str]]:
    """One row for each batch size."""
    torch.manual_seed(0)
    group = make_view_group(kind, n_views=N_VIEWS, mean=(0.5,) * channels, std=(0.25,) * channels)
    images = torch.randint(0, 256, (BASELINE_SEQUENCES, channels, size, size), dtype=torch.uint8)
    dataset = PerSampleViews(kind, images, group)
    baseline = {workers: per_sample_rate(dataset, BATCHES[0], workers) for workers in (0, 1, 2)}
    best = max(baseline, key=lambda workers: baseline[workers])
    rows: list[dict[str, float | str]] = []
    for batch in BATCHES:
        ours = batched_rate(group, images[:batch])
        rows.append(
            {
                "case": f"{kind} {channels}x{size}x{size}, V={N_VIEWS}, batch {batch}",
                "ours_per_s": round(ours),
                "torchvision_per_s": round(baseline[best]),
                "workers": best,
                "ratio": round(ours / baseline[best], 1),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(cores)
    print(f"torch {torch.__version__}, {cores} cores, {torch.get_num_threads()} threads; sequences per second\n")
    print(f"{'case':<38}{'ours':>10}{'torchvision':>13}{'workers':>9}{'ratio':>8}")
    rows = []
    for case in CASES:
        for row in bench(*case):
            rows.append(row)
            print(
                f"{row['case']:<38}{row['ours_per_s']:>10,}{row['torchvision_per_s']:>13,}"
                f"{row['workers']:>9}{row['ratio']:>8}"
            )
    if arguments.json:
        result = {"torch": torch.__version__, "cores": cores, "threads": torch.get_num_threads(), "rows": rows}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
