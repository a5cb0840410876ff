"""Uses the collapse monitor in foreign Lightning code, an autoencoder on the digits.

    python foreign_monitor.py [--collapse]

Two parts are not plain Lightning: `CollapseMonitor()` among the callbacks, and a validation step
that returns its features by name. The run ends with a verdict. With --collapse every code is
trained towards the same point.
"""

from __future__ import annotations

import sys

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from jepa_lab.callbacks import CollapseMonitor


class Autoencoder(pl.LightningModule):
    def __init__(self, collapse: bool = False) -> None:
        super().__init__()
        self.collapse = collapse
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
        self.decoder = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 64))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        z = self.encoder(batch[0])
        return (
            (z - 1).square().mean()
            if self.collapse
            else (self.decoder(z) - batch[0]).square().mean()
        )

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> dict[str, Tensor]:
        z = self.encoder(batch[0])
        return {"code": z, "reconstruction": self.decoder(z)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=3e-3)


def main(collapse: bool = False, epochs: int = 10) -> CollapseMonitor:
    """Trains the autoencoder and prints the verdict. Returns the monitor, which keeps
    the verdict."""
    pl.seed_everything(0, verbose=False)
    images = torch.from_numpy(load_digits().data).float() / 16
    train = DataLoader(TensorDataset(images[:1400]), batch_size=64, shuffle=True)
    monitor = CollapseMonitor()
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=[monitor],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        Autoencoder(collapse), train, DataLoader(TensorDataset(images[1400:]), batch_size=64)
    )
    return monitor


if __name__ == "__main__":
    main(collapse="--collapse" in sys.argv[1:])
