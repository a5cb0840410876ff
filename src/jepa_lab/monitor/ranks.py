"""Joins what the processes of a distributed training have measured."""

from __future__ import annotations

import torch.distributed as dist

from jepa_lab.monitor.statistics import TapStatistics


def merged(taps: dict[str, TapStatistics]) -> dict[str, TapStatistics]:
    """Returns the statistics of the rows of all processes, the same in each.

    Every process of the default group has to call it, with statistics of tensors on the processor.
    In a single process it returns `taps`.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return taps
    parts: list[dict[str, TapStatistics]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, taps)
    found: dict[str, TapStatistics] = {}
    for part in parts:
        for name, tap in part.items():
            if name in found:
                found[name].merge(tap)
            else:
                found[name] = tap
    return found
