"""Measures images that are streamed from a cache on disk: how fast it is built and read, and the
memory of a process that trains on it.

    python benchmarks/streaming.py [--images 200000] [--size 64] [--files 1000] [--batch 256]
                                   [--train-s 60] [--top FOLDER] [--json PATH]

Random images are written as one .npy, and some JPEG files of 500 x 375 pixels, the usual size of
ImageNet's. `build` is the time until the splits of a new cache are ready, `open` that of one that
exists, `read` the images per second of batches in the order of an epoch, each from the cache and
from a tensor in memory. `train` runs seq-JEPA on all images for --train-s seconds, with a memory
limit of 0.5 GB for images, and reports the peak of the resident memory of that process. Everything
is on one disk, whose pages the system may still hold in memory: its speed is not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from jepa_lab.data.images.image_source import Splits, load_splits
from jepa_lab.data.images.streaming import Streaming
from jepa_lab.data.loader import EpochLoader

BLOCK = 2000  # images written at once
JPEG = (375, 500)
FEW = 1000  # images whose run shows the memory of the model and the libraries
TRAIN = """
import resource, sys
from pathlib import Path
from jepa_lab.__main__ import main
try:
    main(sys.argv[1:])
finally:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts the memory of the process that started this one
        peak = 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print("peak", peak)
"""


def write(top: Path, n: int, size: int, files: int) -> None:
    """Writes the images of both kinds."""
    rng = np.random.default_rng(0)
    array = np.lib.format.open_memmap(
        top / "images.npy", mode="w+", dtype=np.uint8, shape=(n, 3, size, size)
    )
    for at in range(0, n, BLOCK):
        array[at : at + BLOCK] = rng.integers(0, 256, array[at : at + BLOCK].shape, np.uint8)
    array.flush()
    for i in range(files):
        small = Image.fromarray(rng.integers(0, 256, (38, 50, 3), dtype=np.uint8))
        folder = top / "jpeg" / f"{i % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        # smooth, so that a file has about the bytes of a photograph
        small.resize(JPEG[::-1], Image.Resampling.BICUBIC).save(folder / f"{i:06d}.jpg", quality=90)


def seconds(work: Any) -> tuple[float, float, Any]:
    """Returns the seconds of some work, its processor seconds, and its result."""
    start, busy = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - start, time.process_time() - busy, found


def reading(splits: Splits, batch: int) -> float:
    """Returns the images per second of the batches of an epoch, for at most five seconds."""
    loader = EpochLoader(splits.train, batch, split="train", shuffle=True)
    start, done = time.perf_counter(), 0
    for found in loader:
        done += len(found[2])
        if time.perf_counter() - start > 5:
            break
    return done / (time.perf_counter() - start)


def of_cache(given: dict[str, Any], cache: Path, batch: int) -> dict[str, float]:
    """Returns the seconds to build and to open a cache, and the images per second of both ways."""
    streaming = Streaming(0.0, str(cache))
    build, busy, _ = seconds(lambda: load_splits(**given, streaming=streaming))
    opened, _, splits = seconds(lambda: load_splits(**given, streaming=streaming))
    images = splits.train
    held = {
        name: type(part)(**{**vars(part), "images": part.images[: min(20_000, len(part.images))]})
        for name, part in vars(splits).items()
    }
    n = sum(len(part.images) for part in vars(splits).values())
    return {
        "images": n,
        "cache_gb": sum(p.stat().st_size for p in cache.rglob("*.u8")) / 1e9,
        "build_s": build,
        "build_per_s": n / build,
        "build_cpu_ms_each": 1e3 * busy / n,
        "open_s": opened,
        "fingerprint_s": seconds(images.fingerprint)[0],
        "read_per_s": reading(splits, batch),
        "in_memory_per_s": reading(Splits(**held), batch),
    }


def of_training(top: Path, path: Path, wall_s: float) -> dict[str, float]:
    """Returns the peak of the resident memory of a run that is stopped after some time, and the
    steps until then."""
    shutil.rmtree(top / "runs", ignore_errors=True)
    command = [
        *(sys.executable, "-c", TRAIN, "+experiment=teacherless_b", "dataset=npz", "tier=baseline"),
        *(f"dataset.path={path}", f"dataset.cache={top / 'cache'}", "dataset.memory_gb=0.5"),
        *("encoder=resnet_small", "model=seq_jepa_small", f"max_wall_s={wall_s}"),
        *("dataset.batch_size=32", "dataset.val_size=2000"),
        *(f"runs_dir={top / 'runs'}", "hardware=cpu", "figures=never"),
    ]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=top)
    lines = ended.stdout.splitlines()
    (peak,) = (float(line.split()[1]) for line in lines if line.startswith("peak "))
    checkpoints = list((top / "runs").rglob("last.ckpt"))
    steps = torch.load(checkpoints[0], weights_only=True)["global_step"] if checkpoints else 0
    return {"train_s": wall_s, "steps": steps, "peak_gb": peak / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--train-s", type=float, default=60)
    parser.add_argument("--top", type=Path, help="an empty folder, kept; default: a temporary one")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    top = args.top or Path(tempfile.mkdtemp())
    try:
        top.mkdir(exist_ok=True)
        write(top, args.images, args.size, args.files)
        found: dict[str, Any] = {"threads": torch.get_num_threads(), "cores": os.cpu_count()}

        def add(name: str, of: dict[str, float]) -> None:
            found[name] = of
            print(name, json.dumps(of), flush=True)

        for size in (args.size, 224):
            jpeg = {"source": "folder", "root": str(top / "jpeg"), "image_size": size}
            add(f"JPEG to {size} px", of_cache(jpeg, top / f"cache {size}", args.batch))
        npy = {"source": "npz", "path": str(top / "images.npy")}
        add(f".npy of {args.size} px", of_cache(npy, top / "cache", args.batch))
        add("training on all", of_training(top, top / "images.npy", args.train_s))
        np.save(top / "few.npy", np.load(top / "images.npy", mmap_mode="r")[:FEW])
        add(f"training on {FEW}", of_training(top, top / "few.npy", args.train_s))
    finally:
        if args.top is None:
            shutil.rmtree(top)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
