"""VICReg in a module of stable-pretraining: python examples/stable_pretraining_vicreg.py
[--collapse]. In a collapse nothing keeps the features apart."""

import sys
from typing import Any

import lightning as pl
import stable_pretraining as spt
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader

from jepa_lab.callbacks import CollapseMonitor


def main(collapse: bool = False, epochs: int = 12) -> CollapseMonitor:
    pl.seed_everything(0, verbose=False)
    match = spt.losses.VICRegLoss(**({"std_coeff": 0, "cov_coeff": 0} if collapse else {}))

    def forward(self, batch, stage):  # type: ignore[no-untyped-def]
        x = batch["image"]
        z, other = (self.backbone(x + 0.1 * torch.randn_like(x)) for _ in range(2))
        return {"embedding": z, "loss": match(z, other)}

    backbone = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
    optim = {"optimizer": {"type": "Adam", "lr": 3e-3}}
    rows: Any = [{"image": torch.from_numpy(x).float() / 16} for x in load_digits().data]
    parts = {"train": rows[:1400], "val": rows[1400:]}
    data = spt.data.DataModule(**{k: DataLoader(v, batch_size=128) for k, v in parts.items()})
    trainer = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    monitor = CollapseMonitor()
    module = spt.Module(backbone=backbone, forward=forward, optim=optim)
    pl.Trainer(max_epochs=epochs, callbacks=[monitor], **trainer).fit(module, data)
    return monitor


if __name__ == "__main__":
    main(collapse="--collapse" in sys.argv[1:])
