"""Measures the processor time and the memory of using some of a user's own images.

    python benchmarks/own_images.py [--images 200000] [--files 5000] [--size 32] [--keep 128]
                                    [--rounds 3] [--json PATH]

Random images are written to a temporary folder: an .npz, a compressed one, one that is divided into
training and test images, a folder of PNG files, and an .npy that a source of the user's own code
opens with mmap_mode. Each is used in a process of its own, once with `dataset.train_size` and
`dataset.val_size` of --keep, once whole. `kept` is the size of the images that the run then holds,
the test split included, which is always whole. `more` is how much the peak of the process's memory
lies above its memory before. Of an .npy it counts mapped pages of the file, which the system can
take back. Figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

USE = """
import json, resource, sys, time
import numpy as np
from jepa_lab.data.images import load_splits
from jepa_lab.data.images.arrays import Arrays
kind, path, size, keep = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) or None
def own():
    images = np.load(path, mmap_mode="c").transpose(0, 3, 1, 2)
    n = len(images) // 10
    parts = {"train": images[2 * n:], "val": images[:n], "test": images[n:2 * n]}
    return {name: Arrays(part, None) for name, part in parts.items()}
given = {
    "npz": {"source": "npz", "path": path},
    "folder": {"source": "folder", "root": path, "image_size": size},
    "npy": {"source": own},
}[kind]
unit = 1 if sys.platform == "darwin" else 1024
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
start = time.process_time()
splits = load_splits(**given, train_size=keep, val_size=keep)
seconds = time.process_time() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
kept = sum(x.images.nbytes for x in (splits.train, splits.val, splits.test))
print(json.dumps([seconds, kept / 1e6, (peak - before) / 1e6]))
"""


def write(top: Path, n: int, files: int, size: int) -> dict[str, tuple[str, Path]]:
    """Writes the images. Returns the kind of source and the path of each case."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    labels, cut = np.arange(n) % 10, n * 8 // 10
    np.savez(top / "whole.npz", images=images, labels=labels)
    np.savez_compressed(top / "packed.npz", images=images, labels=labels)
    np.savez(top / "divided.npz", train_images=images[:cut], test_images=images[cut:])
    np.save(top / "images.npy", images)
    for i, image in enumerate(images[:files]):
        folder = top / "folder" / f"{i % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:07d}.png", compress_level=1)
    return {
        f".npz, {n:,}": ("npz", top / "whole.npz"),
        f".npz compressed, {n:,}": ("npz", top / "packed.npz"),
        f".npz of splits, {n:,}": ("npz", top / "divided.npz"),
        f".npy of own code, {n:,}": ("npy", top / "images.npy"),
        f"folder, {min(files, n):,}": ("folder", top / "folder"),
    }


def measure(kind: str, path: Path, size: int, keep: int) -> list[float]:
    """Returns processor seconds, and the megabytes that are kept and that the peak takes more."""
    command = [sys.executable, "-c", USE, kind, str(path), str(size), str(keep)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    found: list[float] = json.loads(answer.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--keep", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as top:
        cases = write(Path(top), args.images, args.files, args.size)
        rows = [(case, keep) for case in cases for keep in (args.keep, 0)]
        found: dict[tuple[str, int], list[list[float]]] = {row: [] for row in rows}
        for _ in range(args.rounds):
            for case, keep in rows:
                found[case, keep].append(measure(*cases[case], args.size, keep))
    print(f"{'images':<30}{'used':>8}{'cpu s':>8}{'kept MB':>10}{'more MB':>10}")
    table = []
    for (case, keep), times in found.items():
        seconds, kept, more = (statistics.median(t[i] for t in times) for i in range(3))
        used = str(keep) if keep else "all"
        print(f"{case:<30}{used:>8}{seconds:>8.2f}{kept:>10.1f}{more:>10.1f}")
        table.append(
            {"images": case, "used": used, "cpu_s": seconds, "kept_mb": kept, "more_mb": more}
        )
    if args.json:
        args.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
