"""A readout of features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from jepa_lab.networks.heads import probe_head


@dataclass(frozen=True)
class Probe:
    """A readout: the features that it reads, and the labels or numbers that it predicts."""

    name: str
    read: Callable[[Any], Tensor]  # features -> (B, width)
    answer: Callable[[Any], Tensor]  # batch -> labels (B,), or (B, k) numbers
    outputs: int  # classes, or k
    is_class: bool
    linear: bool = False  # a linear head instead of an MLP; class probes are always linear

    def head(self, sample: Any, hidden: int) -> nn.Module:
        """Returns an untrained head for features of the widths of `sample`. An MLP has `hidden`
        units."""
        width = self.read(sample).shape[1]
        return probe_head(width, self.outputs, 0 if self.is_class or self.linear else hidden)
