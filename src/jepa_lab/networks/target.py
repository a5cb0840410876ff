"""The target branch: which encoder makes z_target, and how an averaged one follows the online one.
The target branch: which encoder makes z_target, and how an averaged one follows the online one."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn


def make_ema_copy(encoder: nn.Module, own_running: bool = False) -> nn.Module:
    """A frozen copy that starts equal to the encoder.

    Its batch-norm layers normalise by the batch in training without touching their running
    statistics (those are averaged with the parameters), and by the running ones in evaluation. With
    `own_running` they keep running statistics of the views they see.
    """
    target = copy.deepcopy(encoder).requires_grad_(False)
    for module in target.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not own_running:
            module.track_running_stats = False
    return target


@torch.no_grad()
def ema_update(target: nn.Module, online: nn.Module, tau: float, buffers: str = "averaged") -> None:
    """target <- tau * target + (1 - tau) * online, in place: floating parameters and buffers in one
    fused call, integer buffers copied. With buffers "copied" floating ones are too; with
    "own_running" all are left alone."""
    pairs: list[tuple[Tensor, Tensor]] = list(
        zip(target.parameters(), online.parameters(), strict=True)
    )
    followed: list[tuple[Tensor, Tensor]] = list(
        zip(target.buffers(), online.buffers(), strict=True)
    )
    if buffers == "averaged":
        pairs.extend(followed)
    floating = [(t, o) for t, o in pairs if t.is_floating_point()]
    torch._foreach_lerp_([t for t, _ in floating], [o for _, o in floating], 1.0 - tau)
    for t, o in followed if buffers != "own_running" else []:
        if buffers == "copied" or not t.is_floating_point():
            t.copy_(o)


def tau_from_memory(memory: float, steps: int) -> float:
    """The averaging rate whose memory 1 / (1 - tau) is that share of the run (at least one step).
    The averaging rate whose memory 1 / (1 - tau) is that share of the run (at least one step)."""
    return 1.0 - 1.0 / max(1.0, memory * steps)


def tau_at(step: int, steps: int, tau: float, schedule: str) -> float:
    """tau at an optimiser step: constant, or rising to 1 along half a cosine: 1 - (1 - tau)(1 +
    cos(pi s/S)) / 2."""
    if schedule == "constant":
        return tau
    return 1.0 - (1.0 - tau) * (1.0 + math.cos(math.pi * min(step / max(steps, 1), 1.0))) / 2.0


class batch_statistics_only:  # noqa: N801 - reads as a statement
    """Context: batch-norm layers in training mode use the batch's statistics and leave the running
    ones alone."""

    def __init__(self, module: nn.Module) -> None:
        self.layers = [
            m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
        ]

    def __enter__(self) -> None:
        for layer in self.layers:
            layer.track_running_stats = False

    def __exit__(self, *exc: object) -> None:
        for layer in self.layers:
            layer.track_running_stats = True
