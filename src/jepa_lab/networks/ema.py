"""The target branch: the copy of the encoder that computes z_target, and its updates."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn


def make_ema_copy(encoder: nn.Module, own_running: bool = False) -> nn.Module:
    """Returns a frozen copy that starts equal to the encoder.

    In training its batch-norm layers normalise by the batch and do not update their running
    statistics, which are averaged like the parameters. In evaluation they use the running
    statistics. With `own_running` they keep running statistics of their own inputs. Stochastic
    depth, ours and timm's, is off, as in DINO (Caron et al. 2021).
    """
    target = copy.deepcopy(encoder).requires_grad_(False)
    for module in target.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not own_running:
            module.track_running_stats = False
        if type(module).__name__ == "DropPath":
            module.drop_prob = 0.0  # type: ignore[assignment]
    return target


@torch.no_grad()
def ema_update(target: nn.Module, online: nn.Module, tau: float, buffers: str = "averaged") -> None:
    """Sets target to tau * target + (1 - tau) * online, in place.

    `buffers` is "averaged" (floating buffers like parameters, integer buffers copied), "copied"
    (all buffers copied) or "own_running" (no buffer changed).
    """
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
    """Returns the tau whose memory 1 / (1 - tau) is the share `memory` of the steps, at least one
    step."""
    return 1.0 - 1.0 / max(1.0, memory * steps)


def memory_of_tau(tau: float) -> float:
    """Returns the memory 1 / (1 - tau) in optimiser steps, at most 1e9: tau = 1 never forgets."""
    return round(1.0 / max(1.0 - tau, 1e-9), 1)


def tau_at(step: int, steps: int, tau: float, schedule: str) -> float:
    """Returns tau at an optimiser step. It is constant, or rises to 1 along half a cosine: 1 - (1 -
    tau)(1 + cos(pi s/S)) / 2."""
    if schedule == "constant":
        return tau
    return 1.0 - (1.0 - tau) * (1.0 + math.cos(math.pi * min(step / max(steps, 1), 1.0))) / 2.0


class batch_statistics_only:  # noqa: N801 - reads as a statement
    """A context in which batch-norm layers in training mode do not update their running
    statistics."""

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
