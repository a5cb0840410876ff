"""A run started by a scheduler is rank 0 of 1 and keeps its metrics, whatever variables the
scheduler sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from lightning_fabric.utilities import rank_zero
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.utilities.rank_zero import rank_zero_only

import jepa_lab
from conftest import ROOT, maker, small_overrides
from jepa_lab.ledger.logger import ParquetLogger
from jepa_lab.ledger.parquet import ParquetLedger
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.process.ranks import RANKS, numeric_ranks
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.training.budget import Budget
from jepa_lab.training.one_process import OneProcessTrainer
from jepa_lab.training.trainer import build_trainer, prepare_process
from toy_configs import configure

JOB = {"SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "seeds", "SLURM_NODELIST": "node[1-4]"}
SBATCH = {
    **JOB,
    "SLURM_NTASKS": "4",
    "SLURM_NPROCS": "4",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}
TORCHRUN = {
    "RANK": "3",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
    "GROUP_RANK": "1",
    "MASTER_ADDR": "node1",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "none",
}
MPI = {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "2"}


def srun(task: int, **others: str) -> dict[str, str]:
    """Returns the variables of a task of `srun -n4`."""
    return {**SBATCH, "SLURM_PROCID": str(task), "SLURM_LOCALID": str(task), **others}


SCHEDULERS: dict[str, dict[str, str]] = {
    "a rank alone": {"RANK": "1"},
    "a local rank alone": {"LOCAL_RANK": "1"},
    "both": {"RANK": "1", "LOCAL_RANK": "1"},
    "a task of Slurm without the rest": {"SLURM_PROCID": "1"},
    "sbatch --ntasks=4": SBATCH,
    "srun, first task": srun(0, SLURM_NTASKS_PER_NODE="4", SLURM_NNODES="1"),
    "srun, second task": srun(1, SLURM_STEP_ID="0"),
    "srun, task 3 of two nodes": srun(3, SLURM_NTASKS_PER_NODE="2", SLURM_NNODES="2"),
    "a job array": srun(0, SLURM_ARRAY_JOB_ID="70", SLURM_ARRAY_TASK_ID="5", SLURM_NTASKS="1"),
    "an interactive job": srun(2, SLURM_JOB_NAME="bash"),
    "srun of submitit": srun(1, SLURM_NTASKS="2", SUBMITIT_EXECUTOR="slurm"),
    "PBS": {"PBS_JOBID": "12.head", "PBS_NODEFILE": "/nodes", "PBS_ENVIRONMENT": "PBS_BATCH"},
    "PBS with Open MPI": {"PBS_JOBID": "12.head", "PBS_TASKNUM": "3", **MPI},
    "LSF": {
        "LSB_JOBID": "5",
        "LSB_HOSTS": "batch node1 node1",
        "LSB_DJOB_RANKFILE": "/no/such/file",
        "JSM_NAMESPACE_RANK": "2",
        "JSM_NAMESPACE_LOCAL_RANK": "2",
        "JSM_NAMESPACE_SIZE": "4",
    },
    "Open MPI": MPI,
    "MPICH": {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1"},
    "torchrun": TORCHRUN,
    "torchrun below Slurm": {**srun(1), **TORCHRUN},
    "Kubeflow": {
        "KUBERNETES_PORT": "tcp://10.0.0.1:443",
        "RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "job-master-0",
        "MASTER_PORT": "23456",
    },
    "XLA": {"XRT_TPU_CONFIG": "localservice;0;localhost:1", "TPU_WORKER_ID": "1", "RANK": "1"},
    "Lightning's own variables": {
        "PL_TRAINER_NUM_NODES": "2",
        "PL_TRAINER_LIMIT_TRAIN_BATCHES": "0",
        "PL_TRAINER_FAST_DEV_RUN": "1",
        "NODE_RANK": "1",
    },
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return maker(tmp_path_factory.mktemp("configuration"))()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_trainer_is_rank_0_of_1_under_every_scheduler(
    scheduler: str, config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in SCHEDULERS[scheduler].items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    # as Lightning takes it from the variables when it is imported
    monkeypatch.setattr(rank_zero_only, "rank", rank_zero._get_rank() or 0, raising=False)
    prepare_process(config, 1)
    ledger = ParquetLedger(tmp_path / "metrics.parquet")
    ParquetLogger(ledger).log_metrics({"a": 1.0}, step=1)
    assert ledger.rows == 1
    run = RunDir(tmp_path, "e", "id")
    for trainer in (
        build_trainer(config, Budget(4, 8, 1), run, [], []),
        OneProcessTrainer(accelerator="cpu", devices=1, logger=False),  # as the toy does
    ):
        connector = trainer._accelerator_connector
        assert type(connector.cluster_environment) is LightningEnvironment
        assert isinstance(trainer.strategy, SingleDeviceStrategy)
        assert (trainer.global_rank, trainer.local_rank, trainer.node_rank) == (0, 0, 0)
        assert (trainer.world_size, trainer.num_nodes, trainer.is_global_zero) == (1, 1, True)
        assert (trainer.limit_train_batches, trainer.fast_dev_run) == (1.0, False)
    assert rank_zero_only.rank == 0  # type: ignore[attr-defined]
    assert dict(os.environ) == before


def test_every_trainer_of_the_package_is_a_one_process_trainer() -> None:
    sources = {
        p: p.read_text(encoding="utf-8") for p in Path(jepa_lab.__file__).parent.rglob("*.py")
    }
    assert not [str(path) for path, text in sources.items() if "pl.Trainer(" in text]
    assert issubclass(OneProcessTrainer, pl.Trainer)


def test_ranks_that_are_no_numbers_are_hidden_from_an_import_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = {"RANK": "", "LOCAL_RANK": "high", "SLURM_PROCID": "3"}
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with numeric_ranks():
        assert {n: os.environ[n] for n in RANKS if n in os.environ} == {"SLURM_PROCID": "3"}
    assert {n: os.environ[n] for n in RANKS if n in os.environ} == values


# Whole runs in processes of their own, since Lightning reads the variables when it is imported

FRESH = {
    # the third is empty outside its scheduler
    "ranks": {"RANK": "1", "LOCAL_RANK": "1", "JSM_NAMESPACE_RANK": ""},
    "sbatch": SBATCH,
}
BOTH_RUNS = """
import json, sys
import conftest, pytest
from jepa_lab.cli.app import main
conftest.without_figures(pytest.MonkeyPatch())
for overrides in json.loads(sys.argv.pop()):
    main(overrides)
"""
TOY = [
    "epochs=20",
    "log_every=5",
    "d_latent=3",
    "d_obs=8",
    "batch_size=4",
    "figures=false",
    "hardware.threads=1",
]


def metrics_of(folder: Path, experiment: str) -> dict[str, Any]:
    """Returns the metrics of the only run of an experiment, without its timings."""
    (status,) = folder.glob(f"runs/{experiment}/*/status.json")
    assert json.loads(status.read_text())["state"] == "completed"
    metrics = json.loads(status.with_name("summary.json").read_text())["metrics"]
    return {key: value for key, value in metrics.items() if not key.startswith("monitor/")}


@pytest.fixture(scope="module")
def without_variables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("without")
    train(maker(folder)())
    train(configure(*TOY, f"runs_dir={folder / 'runs'}"))
    return folder


@pytest.mark.parametrize("scheduler", FRESH)
def test_runs_under_a_scheduler_have_the_metrics_of_runs_without_one(
    scheduler: str, without_variables: Path, tmp_path: Path
) -> None:
    toy = ["+experiment=linear_byol", "hardware=cpu", *TOY, f"runs_dir={tmp_path / 'runs'}"]
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "tests" / "helpers")])
    done = subprocess.run(
        [sys.executable, "-c", BOTH_RUNS, json.dumps([small_overrides(tmp_path), toy])],
        env={**os.environ, "PYTHONPATH": path, **FRESH[scheduler]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for experiment in ("teacherless_b", "linear_byol"):
        expected = metrics_of(without_variables, experiment)
        assert expected
        assert metrics_of(tmp_path, experiment) == expected
