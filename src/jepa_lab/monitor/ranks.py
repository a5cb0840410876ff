"""Joins what the processes of a distributed training have measured. Every process of the default
group has to call each function at the same steps."""

from __future__ import annotations

from typing import TypeVar

import torch.distributed as dist

from jepa_lab.monitor.statistics import TapStatistics

T = TypeVar("T")


def merged(taps: dict[str, TapStatistics]) -> dict[str, TapStatistics]:
    """Returns the statistics of the rows of all processes, the same in each. Their tensors have to
    be on the processor. In a single process it returns `taps`."""
    found: dict[str, TapStatistics] = {}
    for part in gathered(taps):
        for name, tap in part.items():
            if name in found:
                found[name].merge(tap)
            else:
                found[name] = tap
    return found


def gathered(value: T) -> list[T]:
    """Returns the values of all processes in the order of their ranks."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return [value]
    parts = [value] * dist.get_world_size()
    dist.all_gather_object(parts, value)
    return parts
