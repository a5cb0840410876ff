"""Measures the seconds of a factor sweep.

    python benchmarks/sweeps.py [--anchors 1000]

1,000 images of 28 x 28 pixels are rendered at 36 angles and encoded by the small encoder, and the
geometry of the features is analysed. The plain way renders one image at a time with torchvision's
rotate before the encoder.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torchvision.transforms import functional as vision

from jepa_lab.data.views.build import make_view_group
from jepa_lab.networks.encoders import build_encoder
from jepa_lab.studies.seq_jepa.evaluation.factor_sweeps import analyse, encode_sweep

PLAIN = 20  # anchors of the plain way; its time is extrapolated to all anchors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anchors", type=int, default=1000)
    args = parser.parse_args()
    torch.manual_seed(0)
    group = make_view_group(
        "affine", n_views=4, mean=(0.1307,), std=(0.3081,), rotation=(-180, 180)
    )
    encoder = build_encoder(
        "resnet_small", in_channels=1, image_size=28, widths=(32, 64, 128)
    ).eval()
    images = torch.randint(0, 256, (args.anchors, 1, 28, 28), dtype=torch.uint8)
    sweep = group.sweeps()[0]
    times: dict[str, list[float]] = {"render and encode": [], "geometry": [], "plain": []}
    with torch.no_grad():
        for _ in range(3):
            start = time.perf_counter()
            z = encode_sweep(encoder, group, images, sweep)
            times["render and encode"].append(time.perf_counter() - start)
            start = time.perf_counter()
            analyse(sweep, z)
            times["geometry"].append(time.perf_counter() - start)
            start = time.perf_counter()
            for image in images[:PLAIN]:
                for angle in sweep.values.tolist():
                    view = vision.rotate(image, -angle).float().div(255).sub(0.1307).div(0.3081)
                    encoder(view[None])
            times["plain"].append((time.perf_counter() - start) * args.anchors / PLAIN)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{args.anchors} anchors x {len(sweep.values)} angles")
    for name, seconds in times.items():
        print(f"{name:<20}{statistics.median(seconds):>8.1f} s")


if __name__ == "__main__":
    main()
