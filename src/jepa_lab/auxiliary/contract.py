"""The contract of an auxiliary loss: its options, its inputs, and its module.

A loss is a dataclass of options with a method `build`. Its file in conf/aux_loss names the class as
`_target_`, and no other code has to know it. docs/adding_a_loss.md shows an example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from jepa_lab.config.auxiliary import AuxOptions
from jepa_lab.config.ranges import at_least
from jepa_lab.losses import LossTerms
from jepa_lab.networks.heads import projector

SINGLES = ("z", "z_agg", "z_hat")
PAIR = ("z_hat", "z_target")


@dataclass(frozen=True)
class AuxInputs:
    """The inputs of an auxiliary loss at a step.

    - `taps` maps names to the outputs of the network. In a seq-JEPA these are z (B, M, D), z_agg
      (B, Da), z_hat and z_target (B, D); z_target has no gradient unless target=shared. In an ARC
      JEPA these are z (n, h), one row for each grid of a context, z_agg (B, h) of the whole
      context, and z_hat and z_target (B, p).
    - `x` (n, d) holds the rows of the (first) tap of the site, projected if the loss has a
      projector.
    - `y` (n, d) holds the corresponding rows of z_target, or is None if the site is a single tap.
    - `step` is the number of finished optimiser steps.
    """

    taps: Mapping[str, Tensor]
    x: Tensor
    y: Tensor | None
    step: int


class AuxLoss(nn.Module):
    """Maps inputs to LossTerms. State that changes once per optimiser step is updated in
    `end_step`."""

    def forward(self, inputs: AuxInputs) -> LossTerms:
        raise NotImplementedError

    def end_step(self, skipped: bool) -> None:
        """Runs after the backward passes of an optimiser step. `skipped` is true if the step itself
        was skipped."""

    @property
    def ema_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pairs (average, online module), which are updated like the target encoder."""
        return []


class FunctionLoss(AuxLoss):
    """An auxiliary loss without state: a function of the inputs."""

    def __init__(self, function: Callable[[AuxInputs], LossTerms]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: AuxInputs) -> LossTerms:
        return self.function(inputs)


@dataclass(kw_only=True)
class SiteOptions(AuxOptions):
    """Options with `site`, the inputs of the loss: one tap (z, z_agg, z_hat) or the pair [z_hat,
    z_target]."""

    site: Any

    takes_pair: ClassVar[bool] = True
    takes_single: ClassVar[bool] = True

    def check(self, key: str) -> None:
        super().check(key)
        given = list(self.site) if isinstance(self.site, list | tuple) else [self.site]
        if tuple(given) not in self.sites():
            allowed = ", ".join(_written(site) for site in self.sites())
            raise ValueError(f"{key}.site={_written(given)}: expected one of {allowed}")
        self.site = given[0] if len(given) == 1 else given

    @classmethod
    def sites(cls) -> list[tuple[str, ...]]:
        """Returns the allowed sites."""
        return [PAIR] * cls.takes_pair + [(tap,) for tap in SINGLES if cls.takes_single]

    @property
    def reads(self) -> tuple[str, ...]:
        """The taps of the site, after `check`."""
        return (self.site,) if isinstance(self.site, str) else tuple(self.site)

    @property
    def where(self) -> str:
        """The site in the syntax of the command line."""
        return _written(self.reads)

    @property
    def paired(self) -> bool:
        """Whether the site is the pair."""
        return len(self.reads) == 2

    def projector(self, dim: int) -> tuple[nn.Module | None, int]:
        """Returns the module between a tap of width `dim` and the loss (or None), and its output
        width."""
        return None, dim

    def build(self, dim: int, has_ema_teacher: bool) -> AuxLoss:
        """Returns the loss for rows of width `dim`. `has_ema_teacher` is true if an EMA teacher
        exists. If so, the teacher's head of the loss is an EMA copy too."""
        raise NotImplementedError


@dataclass(kw_only=True)
class ProjectedOptions(SiteOptions):
    """Options with a projector of three layers, if proj_hidden_dim and proj_output_dim are set."""

    proj_hidden_dim: int | None
    proj_output_dim: int | None

    def check(self, key: str) -> None:
        super().check(key)
        for name in ("proj_hidden_dim", "proj_output_dim"):
            at_least(f"{key}.{name}", getattr(self, name), 1)
        if (self.proj_hidden_dim is None) != (self.proj_output_dim is None):
            missing = "proj_hidden_dim" if self.proj_hidden_dim is None else "proj_output_dim"
            raise ValueError(f"{key}.{missing}=null: set both widths for a projector, or neither")

    def projector(self, dim: int) -> tuple[nn.Module | None, int]:
        if self.proj_hidden_dim is None or self.proj_output_dim is None:
            return None, dim
        return projector(dim, self.proj_hidden_dim, self.proj_output_dim), self.proj_output_dim


def _written(site: Sequence[Any]) -> str:
    taps = ["null" if tap is None else str(tap) for tap in site]
    return taps[0] if len(taps) == 1 else f"[{','.join(taps)}]"
