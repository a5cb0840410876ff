"""The place of a process, from the variables of the launcher that started it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_schedulers import SBATCH, TORCHRUN, srun

from conftest import maker
from jepa_lab.errors import UserError
from jepa_lab.process.ranks import launched
from jepa_lab.training.place import place_of

STEP = {"SLURM_STEP_ID": "0"}
NODES = {"SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2"}


@pytest.mark.parametrize(
    ("variables", "devices", "nodes", "rank", "local"),
    [
        ({}, 2, 1, 0, 0),
        (SBATCH, 2, 1, 0, 0),  # the script of a job is one process
        (srun(0, SLURM_NTASKS="1", **STEP), 2, 1, 0, 0),  # and so is a single task
        (TORCHRUN, 2, 2, 3, 1),
        ({**srun(3, **STEP, **NODES), "SLURM_LOCALID": "1"}, 2, 2, 3, 1),
        ({**srun(1, **STEP), **TORCHRUN}, 2, 2, 3, 1),  # torchrun in a job of Slurm
        (TORCHRUN, 1, 1, 0, 0),  # runs of one process each
    ],
)
def test_a_process_has_the_place_that_its_launcher_gave_it(
    variables: dict[str, str],
    devices: int,
    nodes: int,
    rank: int,
    local: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    place = place_of(maker(tmp_path)(f"hardware.devices={devices}", f"hardware.nodes={nodes}"))
    assert (place.rank, place.local_rank, place.world) == (rank, local, devices * nodes)
    assert (launched(devices * nodes) or 0) == rank


@pytest.mark.parametrize(
    ("variables", "devices", "nodes", "line"),
    [
        (TORCHRUN, 2, 1, "2 processes, but TorchElastic started 4"),
        (srun(0, **STEP, **NODES), 2, 1, "2 processes, but SLURM started 4"),
        (srun(0, **STEP), 4, 1, "give srun --ntasks-per-node=4"),
        ({}, 2, 2, "start the processes of several nodes by srun or torchrun"),
    ],
)
def test_another_number_of_processes_is_one_clear_line(
    variables: dict[str, str],
    devices: int,
    nodes: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = maker(tmp_path)(f"hardware.devices={devices}", f"hardware.nodes={nodes}")
    with pytest.raises(UserError, match=f"hardware.devices={devices} .*{line}"):
        place_of(config)
