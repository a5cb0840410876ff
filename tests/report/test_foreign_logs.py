"""The log of other code has the verdict that the callback printed, whatever the logger."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch
import wandb
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from jepa_lab.callbacks import CollapseMonitor
from jepa_lab.cli.diagnosing import report_on
from jepa_lab.errors import UserError
from jepa_lab.ledger.logger import ParquetLogger
from jepa_lab.ledger.parquet import ParquetLedger
from jepa_lab.monitor import Monitor

DATA = torch.randn(256, 12, generator=torch.Generator().manual_seed(0))


class Foreign(pl.LightningModule):
    """A module of other code. From `collapse_at` on, its features `code` are nearly constant."""

    def __init__(self, collapse_at: int | None) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 12)
        self.collapse_at = collapse_at

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = (self.layer(batch[0]) - batch[0]).square().mean()
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> dict[str, Tensor]:
        x = batch[0]
        collapsed = self.collapse_at is not None and self.global_step >= self.collapse_at
        return {
            "code": 1 + 1e-4 * x if collapsed else x,
            "projection": x[:, :6] + self.layer(x)[:, :6],
        }

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


@dataclass
class Logged:
    """The files of one training by logger, and what the callback said."""

    verdict: Any
    paths: dict[str, Path]


def trained(folder: Path, collapse_at: int | None, prefix: str) -> Logged:
    ledger = ParquetLedger(folder / "ledger" / "metrics.parquet")
    loggers: dict[str, Any] = {
        "ledger": ParquetLogger(ledger),
        "csv": CSVLogger(folder / "lightning"),
        # offline=True of the logger would set WANDB_MODE for all later tests
        "wandb": WandbLogger(experiment=wandb.init(mode="offline", dir=folder, project="p")),
    }
    if find_spec("tensorboard") is not None:
        loggers["tensorboard"] = TensorBoardLogger(folder / "board")
    loader = DataLoader(TensorDataset(DATA), batch_size=64)
    monitor = CollapseMonitor(prefix, verbose=False)
    pl.Trainer(
        max_epochs=6,
        callbacks=[monitor],
        accelerator="cpu",
        logger=list(loggers.values()),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(Foreign(collapse_at), loader, loader)
    run = Path(loggers["wandb"].experiment.dir).parent
    loggers["wandb"].experiment.finish()
    (csv,) = (folder / "lightning").rglob("metrics.csv")
    (offline,) = run.glob("*.wandb")
    paths = {"ledger": ledger.path, "csv": csv, "wandb": offline}
    paths.update(("tensorboard", path) for path in (folder / "board").rglob("*tfevents*"))
    return Logged(monitor.verdict, paths)


@pytest.fixture(scope="module", params=["collapsed", "healthy"])
def logged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    folder = tmp_path_factory.mktemp(request.param)
    return (
        trained(folder, 12, "val") if request.param == "collapsed" else trained(folder, None, "x")
    )


KINDS = {"ledger": "ledger", "csv": "table", "tensorboard": "TensorBoard", "wandb": "W&B"}


@pytest.mark.parametrize("logger", KINDS)
@pytest.mark.parametrize("of_folder", [False, True])
def test_a_log_has_the_verdict_of_the_callback(
    logger: str, of_folder: bool, logged: Logged
) -> None:
    if logger not in logged.paths:
        pytest.skip("the extra tensorboard is not installed")
    path = logged.paths[logger]
    text, content = report_on(path.parent if of_folder else path, "ours")
    said = logged.verdict
    found = content["verdict"]
    for field in ("status", "tap", "since_step", "per_tap"):
        assert found[field] == getattr(said, field), field
    assert found["next"] == list(said.next)
    assert found["confidence"] == pytest.approx(said.confidence, rel=1e-6)  # TensorBoard: float32
    assert set(found["reasons"]) == set(said.reasons)
    assert content["kind"] == KINDS[logger]
    assert text.startswith(f"verdict: {said.status}")
    assert "6 validations of " in text


def test_the_two_trainings_ended_as_they_should(logged: Logged) -> None:
    line = logged.verdict.line()
    assert line.startswith(("complete_collapse of code since step 12: ", "healthy: "))


def test_a_ledger_under_another_name_has_the_same_verdict(logged: Logged, tmp_path: Path) -> None:
    table = pq.read_table(logged.paths["ledger"])
    for columns in (table.column_names, ["step", "epoch", "key", "value"]):
        pq.write_table(table.select(columns), tmp_path / "mine.parquet")
        _, content = report_on(tmp_path / "mine.parquet", "ours")
        assert content["verdict"]["line"] == logged.verdict.line()


@pytest.mark.parametrize("scale", [1.0, 1e-5])
def test_the_file_of_a_monitor_has_its_verdict(scale: float, tmp_path: Path) -> None:
    monitor = Monitor(every=5, n=256, sink=tmp_path / "mine.parquet")
    for step in range(0, 60):
        code = 1 + (scale if step > 30 else 1.0) * DATA
        monitor.update(step, {"code": code, "z": DATA}, loss=1.0 / (1 + step))
    said = monitor.verdict()
    _, content = report_on(tmp_path / "mine.parquet", "ours")
    assert content["verdict"]["line"] == said.line()
    assert content["verdict"]["status"] == ("healthy" if scale == 1 else "complete_collapse")


def test_a_foreign_ledger_beside_a_config_of_other_code_is_no_run_of_ours(
    logged: Logged, tmp_path: Path
) -> None:
    pq.write_table(pq.read_table(logged.paths["ledger"]), tmp_path / "metrics.parquet")
    (tmp_path / "config.yaml").write_text("model: {name: vit}\nseed: 3\n")
    _, content = report_on(tmp_path, "ours")
    assert content["verdict"]["line"] == logged.verdict.line()
    assert content["kind"] == "ledger"


def test_a_log_is_diagnosed_without_importing_torch(logged: Logged) -> None:
    code = (
        "import sys; from jepa_lab.cli.diagnosing import report_on; from pathlib import Path;"
        "report_on(Path(sys.argv[1]), 'ours'); assert 'torch' not in sys.modules"
    )
    for logger in ("ledger", "csv"):
        subprocess.run([sys.executable, "-c", code, str(logged.paths[logger])], check=True)


def test_a_damaged_log_is_one_line_and_one_that_is_still_written_is_read(
    logged: Logged, tmp_path: Path
) -> None:
    for logger in logged.paths.keys() & {"wandb", "tensorboard"}:
        path = tmp_path / logged.paths[logger].name
        whole = logged.paths[logger].read_bytes()
        path.write_bytes(whole[:-5])
        assert report_on(path, "ours")[1]["verdict"]["status"] == logged.verdict.status
        changed = bytearray(whole)
        changed[len(whole) // 2] ^= 4
        path.write_bytes(changed)
        with pytest.raises(UserError, match="not a readable log") as error:
            report_on(path, "ours")
        assert str(error.value).startswith(f"{path}: ")
