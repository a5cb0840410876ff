"""Two processes of one gloo group, which run functions together, and a few training steps."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from jepa_lab.config.extensions import CallbackOptions
from jepa_lab.networks.ema import ema_update
from jepa_lab.networks.synced_batch_norm import sync_batch_norms
from jepa_lab.ranks import rank, summed, world_size
from jepa_lab.training.optimisation import build_optimiser
from study_parts import load_data, prepare


class Pool:
    """Two processes that stay alive for several calls."""

    def __init__(self) -> None:
        context = mp.get_context("spawn")
        self._orders = [context.Queue() for _ in range(2)]
        self._results = [context.Queue() for _ in range(2)]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._processes = [
            context.Process(target=_serve, args=(rank, port, *queues), daemon=True)
            for rank, queues in enumerate(zip(self._orders, self._results, strict=True))
        ]
        for process in self._processes:
            process.start()

    def __call__(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Returns function(*args) of each process, after both have called it."""
        for orders in self._orders:
            orders.put((function, args))
        found = [results.get(timeout=300) for results in self._results]
        for one in found:
            if isinstance(one, Exception):
                raise one
        return found

    def close(self) -> None:
        """Ends the processes."""
        for orders in self._orders:
            orders.put(None)
        for process in self._processes:
            process.join()


def _serve(rank: int, port: int, orders: Any, results: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    while (order := orders.get()) is not None:
        function, args = order
        try:
            found = function(*args)
        except Exception as error:
            found = RuntimeError(f"process {rank}: {type(error).__name__}: {error}")
        results.put(found)
    dist.destroy_process_group()


class Steps(NamedTuple):
    """Training steps: the terms of the loss of the first, the gradients of the first and the state
    after the last, by name, as numpy arrays."""

    terms: dict[str, Any]
    gradients: dict[str, Any]
    state: dict[str, Any]


def train_steps(config: Any, dtype: torch.dtype, steps: int = 1) -> Steps:
    """Returns the first steps of a run, with gradients averaged over processes as by
    DistributedDataParallel, without schedules."""
    parts = prepare(config, load_data(config))
    module = parts.module.to(dtype).train()
    if world_size() > 1:
        for name, part in module.named_children():
            if name != "objective":
                sync_batch_norms(part, on_gpus=False)
    optimiser = build_optimiser(module, config.optim)
    terms: dict[str, Any] = {}
    gradients: dict[str, Any] = {}
    done, loader = 0, parts.loaders["train"]
    while done < steps:
        for batch in loader:
            module.training_step(
                cast(module.on_after_batch_transfer(batch, 0), dtype), 0
            ).backward()
            for parameter in module.parameters():
                if parameter.grad is not None:
                    # in its own memory format, which a fused optimiser expects
                    parameter.grad.copy_(summed(parameter.grad) / world_size())
            if not done:
                terms = {name: term.double().numpy() for name, term in module.terms.items()}
                gradients = {
                    name: p.grad.double().numpy().copy()
                    for name, p in module.named_parameters()
                    if p.grad is not None
                }
            _end_step(module, optimiser)
            done += 1
            if done == steps:
                break
        loader.set_epoch(loader.epoch + 1)
    state = {
        name: value.detach().double().numpy()
        for name, value in module.state_dict().items()
        if isinstance(value, Tensor)
    }
    return Steps(terms, gradients, state)


def _end_step(module: Any, optimiser: torch.optim.Optimizer) -> None:
    """Steps the optimiser and everything that moves once per step."""
    optimiser.step()
    optimiser.zero_grad()
    for book in (getattr(module, "vq", None), getattr(module, "target_vq", None)):
        if book is not None:
            book.end_step()
    module.objective.end_step(False)
    for average, online in module.ema_pairs:
        ema_update(average, online, 0.9)


def cast(value: Any, dtype: torch.dtype) -> Any:
    """Returns a batch with its floating tensors in another precision."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {name: cast(inner, dtype) for name, inner in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: cast(getattr(value, f.name), dtype) for f in fields(value)}
        )
    return value


class End(pl.Callback):
    """Kills the second process of a run after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if rank() == 1 and trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class EndOptions(CallbackOptions):
    """The options of End."""

    step: int

    def build(self) -> End:
        return End(self.step)
