from pathlib import Path

import pytest
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from jepa_lab.ledger.logger import ParquetLogger
from jepa_lab.ledger.parquet import ParquetLedger, read_metrics


@pytest.fixture
def logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ParquetLogger:
    monkeypatch.setattr(rank_zero_only, "rank", 0, raising=False)
    return ParquetLogger(
        ParquetLedger(tmp_path / "m.parquet", flush_s=1e9), "teacherless_b", "0123456789"
    )


def test_the_key_epoch_becomes_the_column_and_the_dict_is_unchanged(logger: ParquetLogger) -> None:
    metrics = {"train/loss/total": torch.tensor(1.5), "epoch": 3}
    logger.log_metrics(metrics=metrics, step=7)
    assert "epoch" in metrics
    row = logger.ledger.table().select(["step", "epoch", "key", "value"]).to_pylist()
    assert row == [{"step": 7, "epoch": 3, "key": "train/loss/total", "value": 1.5}]


def test_a_missing_step_or_epoch_is_the_last_one(logger: ParquetLogger) -> None:
    logger.log_metrics(metrics={"a": 1.0, "epoch": 2}, step=5)
    logger.log_metrics(metrics={"b": 1.0})
    assert logger.ledger.table()["epoch"].to_pylist() == [2, 2]
    assert logger.ledger.table()["step"].to_pylist() == [5, 5]


def test_only_rank_zero_writes(logger: ParquetLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1, raising=False)
    logger.log_metrics(metrics={"a": 1.0}, step=0)
    logger.finalize("success")
    assert logger.ledger.rows == 0
    assert not logger.ledger.path.exists()


@pytest.mark.parametrize("status", ["success", "failed"])
def test_finalize_writes_what_is_in_memory(logger: ParquetLogger, status: str) -> None:
    logger.log_metrics(metrics={"a": 1.0}, step=0)
    logger.save()
    assert not logger.ledger.path.exists(), "save comes after every batch and must not write"
    logger.finalize(status)
    assert read_metrics(logger.ledger.path).num_rows == 1


def test_name_version_and_hyperparameters(logger: ParquetLogger) -> None:
    logger.log_hyperparams({"a": 1})
    assert (logger.name, logger.version, logger.ledger.rows) == ("teacherless_b", "0123456789", 0)
