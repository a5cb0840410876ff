"""VICReg in a plain loop: python examples/plain_loop.py [--collapse]. In a collapse nothing keeps
the features apart."""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

from jepa_lab import Monitor


def main(collapse: bool = False, steps: int = 300) -> Monitor:
    torch.manual_seed(0)
    images = torch.from_numpy(load_digits().data).float() / 16
    encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    monitor = Monitor(every=50, n=512, role={"embedding": "views"})
    for step in range(steps):
        x = images[torch.randint(len(images), (256,))]
        z, other = (encoder(x + 0.1 * torch.randn_like(x)) for _ in range(2))
        loss = (z - other).square().mean()
        if not collapse:
            c = torch.cov(z.T)
            loss = loss + (1 - z.std(dim=0)).relu().mean() + (c - c.diag().diag()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        monitor.update(step, {"embedding": torch.stack([z, other], dim=1)}, loss=loss)
    print(monitor.verdict())
    return monitor


if __name__ == "__main__":
    main(collapse="--collapse" in sys.argv[1:])
