"""The accelerator of a run, and its settings."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from jepa_lab.config.schema import HardwareConfig


def accelerator_of(hardware: HardwareConfig) -> torch.device | None:
    """Returns the accelerator that the configuration trains on, None for a CPU. Its number is the
    one that Lightning chooses."""
    if hardware.accelerator != "cpu" and torch.cuda.is_available():
        return torch.device("cuda")
    return None


def set_accelerator(hardware: HardwareConfig) -> None:
    """Sets the precision of float32 products on the accelerator, and whether the fastest
    convolution is looked for. Changes nothing on a CPU."""
    tf32, benchmark = hardware.tf32, hardware.cudnn_benchmark
    if accelerator_of(hardware) is None:
        return
    torch.backends.cudnn.allow_tf32 = tf32 != "off"
    torch.backends.cuda.matmul.allow_tf32 = tf32 == "all"
    torch.backends.cudnn.benchmark = benchmark


def compile_networks(networks: Iterable[nn.Module]) -> None:
    """Compiles networks in place, on a CPU too, when they are called first."""
    from torch._functorch import config  # imported here, since the compiler takes a second

    # the gradient of every term needs a graph that is kept, see callbacks.logging
    config.donated_buffer = False
    for network in networks:
        network.compile()
