"""Two processes measure together what each of them has seen."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from jepa_lab import Monitor
from jepa_lab.metrics import collapse_metrics, view_metrics

Z = torch.randn(397, 2, 8, generator=torch.Generator().manual_seed(0))
SPLIT = 200  # rows of the first process


def in_two_processes(target: Callable[[int, int, str], None], folder: Path) -> list[Any]:
    """Returns what each process of a gloo group has saved."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(target, (port, str(folder)), nprocs=2)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def _measure(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    mine = Z[:SPLIT] if rank == 0 else Z[SPLIT:]
    monitor = Monitor(every=1, n=None, ranks=True, role={"views": "views"})
    features = {"views": mine, **({"once": mine[:, 0]} if rank == 0 else {})}
    torch.save(monitor.update(0, features), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def _uneven(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    monitor = Monitor(every=50, n=256, ranks=True, stop_on=["diverged"])
    for step in range(6):
        rows = 0 if (rank, step) == (1, 0) else 64 if rank == 0 else 60
        loss = float("nan") if rank == 1 else 1.0
        monitor.update(step, {"z": torch.randn(rows, 8)}, loss=loss)
        dist.all_reduce(torch.ones(1))  # of the training
    if rank == 0:
        torch.save(monitor.verdict().status, Path(folder) / "alone.pt")  # one process alone
    torch.save(monitor.history["val/z/n"], Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_processes_with_batches_of_different_sizes_measure_at_the_same_step(tmp_path: Path) -> None:
    first, second = in_two_processes(_uneven, tmp_path)
    assert first == second == [(2, 3 * 64 + 2 * 60.0)]


def test_the_rows_of_all_processes_are_measured_as_one(tmp_path: Path) -> None:
    first, second = in_two_processes(_measure, tmp_path)
    assert first == second
    assert first["val/views/n"] == 2 * 397
    expected = collapse_metrics(Z.flatten(0, 1)) | view_metrics(Z)
    for name in ("effective_rank", "feature_std_l2", "norm", "lidar", "view_correlation"):
        assert first[f"val/views/{name}"] == pytest.approx(expected[name], rel=1e-6), name
    assert first["val/once/n"] == SPLIT  # a tap of one process alone


def test_a_single_process_needs_no_group() -> None:
    values = Monitor(every=1, n=None, ranks=True, role={"z": "views"}).update(0, {"z": Z})
    assert values["val/z/n"] == 794
