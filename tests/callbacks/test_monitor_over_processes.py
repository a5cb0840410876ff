"""CollapseMonitor under two processes of Lightning: the rows of both are measured as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
import pytorch_lightning as pl, torch
from torch.utils.data import DataLoader, TensorDataset
from jepa_lab.callbacks import CollapseMonitor

class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(8, 8)
    def training_step(self, batch, index):
        return self.layer(batch[0]).square().mean()
    def validation_step(self, batch, index):
        return {"code": batch[0], "views": torch.stack([batch[0], 2 * batch[0]], 1)}
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

if __name__ == "__main__":
    rows = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    data = DataLoader(TensorDataset(rows), batch_size=5)
    monitor = CollapseMonitor(role={"views": "views"})
    trainer = pl.Trainer(accelerator="cpu", devices=2, strategy="ddp", max_epochs=3, logger=False,
        callbacks=[monitor], enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False)
    trainer.fit(Module(), data, data)
    if trainer.is_global_zero:
        found = {"status": monitor.verdict.status,
                 "n": float(trainer.callback_metrics["val/code/n"]),
                 "views": float(trainer.callback_metrics["val/views/n"])}
        json.dump(found, open(sys.argv[1], "w"))
"""


@pytest.mark.slow
def test_two_processes_give_one_verdict_on_all_rows(tmp_path: Path) -> None:
    program, answer = tmp_path / "program.py", tmp_path / "answer.json"
    program.write_text(PROGRAM)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, str(program), str(answer)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # 25 rows a process were too few for a verdict
    assert json.loads(answer.read_text()) == {"status": "healthy", "n": 50, "views": 100}
    assert done.stdout.count("healthy:") == 1
