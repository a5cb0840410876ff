"""RandomState: keeps the random streams of a run in its checkpoints."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from jepa_lab.ranks import of_all, rank, world_size


class RandomState(pl.Callback):
    """Stores the random states of torch, numpy and Python in checkpoints and restores them before
    the first batch.

    With several processes, each has a stream of torch of its own, for dropout. A checkpoint holds
    them all. A run resumed by another number of processes begins new ones.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        name, keys, position, has_gauss, cached = np.random.get_state()
        state: dict[str, Any] = {
            "torch": torch.get_rng_state(),
            "numpy": [
                name,
                torch.from_numpy(np.asarray(keys).astype(np.int64)),
                int(position),
                int(has_gauss),
                float(cached),
            ],
            "python": list(random.getstate()[1]),
        }
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
        if world_size() > 1:
            state["processes"] = of_all([stream.cpu() for stream in _streams()])
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        state, self._restored = self._restored, None
        if rank() > 0:
            self._begin_own(state or {}, trainer.global_step)
            return
        if state is None:
            return
        torch.set_rng_state(state["torch"].cpu())
        name, keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
        random.setstate((3, tuple(state["python"]), None))
        if "cuda" in state:
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])

    @staticmethod
    def _begin_own(state: dict[str, Any], step: int) -> None:
        streams = state.get("processes", ())
        if len(streams) == world_size():
            own, *of_device = streams[rank()]
            torch.set_rng_state(own.cpu())
            for stream in of_device[: torch.cuda.device_count()]:
                torch.cuda.set_rng_state(stream.cpu())
        else:
            number = step * world_size() + rank()
            torch.manual_seed((torch.initial_seed() * 1_000_003 + number) % 2**63)


def _streams() -> list[torch.Tensor]:
    """Returns the states of this process's streams of torch: the CPU's and its device's."""
    return [
        torch.get_rng_state(),
        *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else []),
    ]
