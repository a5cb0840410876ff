"""SimSiam with the heads of lightly: python examples/lightly_simsiam.py [--collapse]. In a collapse
the gradient reaches the targets, and there is no predictor."""

import sys

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead
from sklearn.datasets import load_digits
from torch import nn

from jepa_lab import Monitor


def main(collapse: bool = False, steps: int = 300) -> Monitor:
    torch.manual_seed(0)
    images = torch.from_numpy(load_digits().data).float() / 16
    backbone = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU())
    heads = SimSiamProjectionHead(128, 64, 64), SimSiamPredictionHead(64, 32, 64)
    model, match = nn.ModuleList([backbone, *heads]), NegativeCosineSimilarity()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    monitor = Monitor(every=50, n=512)
    for step in range(steps):
        x = images[torch.randint(len(images), (256,))]
        h = backbone(torch.cat([x + 0.5 * torch.randn_like(x) for _ in range(2)]))
        z = heads[0](h)
        p, target = (z, z) if collapse else (heads[1](z), z.detach())
        loss = match(p, target.roll(256, dims=0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        monitor.update(step, {"backbone": h, "projection": z}, loss=loss)
    print(monitor.verdict())
    return monitor


if __name__ == "__main__":
    main(collapse="--collapse" in sys.argv[1:])
