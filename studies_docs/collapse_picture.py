"""Draws docs/images/collapse.png: features that are healthy, and features that collapsed.

    python studies_docs/collapse_picture.py [--out docs/images/collapse.png]

Three small encoders see the same 1,797 digits of scikit-learn for 300 steps, seed 0, on a CPU:

- healthy: VICReg, as in examples/plain_loop.py;
- dimensional collapse: SimSiam whose gradient reaches the target, without a predictor, as in
  examples/lightly_simsiam.py --collapse;
- complete collapse: VICReg without its variance and covariance terms, as in
  examples/plain_loop.py --collapse.

The title of each column has the status that `diagnose_features` gives. The labels of the digits
colour the points and are used for nothing else. It takes about half a minute on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from documents import save_figure
from jepa_lab.diagnosis import diagnose_features
from jepa_lab.metrics import effective_rank

OUT = Path("docs/images/collapse.png")
STEPS, BATCH = 300, 256


@dataclass(frozen=True)
class Trained:
    """What an encoder was trained with, and its features z (n, d) of all digits afterwards."""

    title: str
    z: Tensor


def digits() -> tuple[Tensor, Tensor]:
    """Returns images (1797, 64) from 0 to 1 and their labels (1797,)."""
    loaded = load_digits()
    return torch.from_numpy(loaded.data).float() / 16, torch.from_numpy(loaded.target)


def vicreg(keeps_apart: bool) -> Tensor:
    """Returns the features of a small encoder, trained with or without the terms of VICReg that
    keep features apart."""
    torch.manual_seed(0)
    images, _ = digits()
    encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    for _ in range(STEPS):
        x = images[torch.randint(len(images), (BATCH,))]
        z, other = (encoder(x + 0.1 * torch.randn_like(x)) for _ in range(2))
        loss = (z - other).square().mean()
        if keeps_apart:
            c = torch.cov(z.T)
            loss = loss + (1 - z.std(dim=0)).relu().mean() + (c - c.diag().diag()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return encoder(images)


def simsiam_without_stop_gradient() -> Tensor:
    """Returns the projections of a SimSiam whose gradient reaches both branches, without a
    predictor."""
    torch.manual_seed(0)
    images, _ = digits()
    backbone = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU())
    layers: list[nn.Module] = []
    for wide, narrow in ((128, 64), (64, 64)):
        layers += [nn.Linear(wide, narrow, bias=False), nn.BatchNorm1d(narrow), nn.ReLU()]
    projector = nn.Sequential(*layers, nn.Linear(64, 64), nn.BatchNorm1d(64, affine=False))
    encoder = nn.Sequential(backbone, projector)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.2, momentum=0.9)
    for _ in range(STEPS):
        x = images[torch.randint(len(images), (BATCH,))]
        z = encoder(torch.cat([x + 0.5 * torch.randn_like(x) for _ in range(2)]))
        loss = -cosine_similarity(z, z.roll(BATCH, dims=0)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return encoder(images)


def status_and_rank(trained: Trained) -> str:
    """Returns the status of the verdict and the effective rank, as in
    `healthy (effective rank 10.1 of 32)`."""
    status = diagnose_features(trained.z).status
    rank = float(effective_rank(trained.z))
    return f"{status} (effective rank {rank:.1f} of {trained.z.shape[1]})"


def draw_points(axes: Axes, z: Tensor, labels: Tensor) -> None:
    """Draws the features on their two main directions, in units of their root mean square
    length."""
    z = z.double()
    centred = (z - z.mean(dim=0)) / z.square().sum(dim=1).mean().sqrt()
    plane = torch.linalg.svd(centred, full_matrices=False)[2][:2]
    at = centred @ plane.T
    axes.scatter(at[:, 0], at[:, 1], c=labels, cmap="tab10", s=5, linewidths=0)
    axes.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), aspect="equal")
    axes.set(xlabel="first main direction", ylabel="second main direction")


def draw_spectrum(axes: Axes, z: Tensor) -> None:
    """Draws the variance along every main direction, in units of the mean square length."""
    z = z.double()
    variances = torch.linalg.svdvals(z - z.mean(dim=0)).square() / z.square().sum()
    axes.bar(range(1, len(variances) + 1), variances.clamp(min=1e-13), color="tab:blue")
    axes.set(yscale="log", ylim=(1e-12, 10), xlim=(0.3, 32.7), yticks=(1e-12, 1e-8, 1e-4, 1))
    axes.set(xlabel="direction, by variance", ylabel="variance")


def draw(out: Path) -> None:
    labels = digits()[1]
    found = [
        Trained("VICReg", vicreg(keeps_apart=True)),
        Trained("SimSiam without stop-gradient", simsiam_without_stop_gradient()),
        Trained("VICReg, invariance term alone", vicreg(keeps_apart=False)),
    ]
    figure, axes = plt.subplots(2, 3, figsize=(9.6, 6.3), height_ratios=(3, 1.35))
    for column, trained in enumerate(found):
        status = status_and_rank(trained)
        axes[0, column].set_title("\n".join([trained.title, *status.rstrip(")").split(" (")]))
        draw_points(axes[0, column], trained.z, labels)
        draw_spectrum(axes[1, column], trained.z)
        print(f"{trained.title}: {status}")
    save_figure(figure, out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    draw(args.out)
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
