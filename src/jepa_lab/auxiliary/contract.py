"""The contract of an auxiliary loss: what it may be told (options), what it reads (inputs), what it
is (a module).

A loss is a dataclass of options with `build`, named by `_target_` in its file of conf/aux_loss.
Nothing else has to know of it; docs/adding_a_loss.md shows one.
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
    """What an auxiliary loss reads at a step.

    taps: what the network publishes, by name: z (B, M, D), z_agg (B, Da), z_hat and z_target (B,
    D); z_target without gradient unless target=shared. Of an ARC JEPA, as its metrics call them: z
    (n, h), a row for each grid of a context, z_agg (B, h), of the whole context, z_hat and z_target
    (B, p). x (n, d): the rows of the site's tap (of its first), projected where the arm has a
    projector; y (n, d): those of z_target, row by row, or None at a single tap. step: optimiser
    steps done.
    """

    taps: Mapping[str, Tensor]
    x: Tensor
    y: Tensor | None
    step: int


class AuxLoss(nn.Module):
    """forward(inputs) -> LossTerms. State that moves once per optimiser step moves in `end_step`.
    forward(inputs) -> LossTerms. State that moves once per optimiser step moves in `end_step`."""

    def forward(self, inputs: AuxInputs) -> LossTerms:
        raise NotImplementedError

    def end_step(self, skipped: bool) -> None:
        """After the backward passes of an optimiser step; `skipped`: the step is left out."""

    @property
    def ema_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """(average, what it follows): moved as the target encoder is."""
        return []


class FunctionLoss(AuxLoss):
    """A loss without state: a function of the inputs."""

    def __init__(self, function: Callable[[AuxInputs], LossTerms]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: AuxInputs) -> LossTerms:
        return self.function(inputs)


@dataclass(kw_only=True)
class SiteOptions(AuxOptions):
    """`site`: where the loss acts, one tap (z, z_agg, z_hat) or the pair [z_hat, z_target]."""

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
        """Where it may act."""
        return [PAIR] * cls.takes_pair + [(tap,) for tap in SINGLES if cls.takes_single]

    @property
    def reads(self) -> tuple[str, ...]:
        """The taps of the site, once it is checked."""
        return (self.site,) if isinstance(self.site, str) else tuple(self.site)

    @property
    def where(self) -> str:
        """The site as it is written on a command line."""
        return _written(self.reads)

    @property
    def paired(self) -> bool:
        """Whether the site is the pair."""
        return len(self.reads) == 2

    def projector(self, dim: int) -> tuple[nn.Module | None, int]:
        """What stands between the tap (of width `dim`) and the loss, and the width the loss then
        sees."""
        return None, dim

    def build(self, dim: int, has_ema_teacher: bool) -> AuxLoss:
        """The loss on rows of width `dim`. `averaged`: there is an EMA teacher, so a teacher's head
        is an average."""
        raise NotImplementedError


@dataclass(kw_only=True)
class ProjectedOptions(SiteOptions):
    """With a projector of three layers where proj_hidden_dim and proj_output_dim are given."""

    proj_hidden_dim: int | None
    proj_output_dim: int | None

    def check(self, key: str) -> None:
        super().check(key)
        for name in ("proj_hidden_dim", "proj_output_dim"):
            at_least(f"{key}.{name}", getattr(self, name), 1)
        if (self.proj_hidden_dim is None) != (self.proj_output_dim is None):
            missing = "proj_hidden_dim" if self.proj_hidden_dim is None else "proj_output_dim"
            raise ValueError(
                f"{key}.{missing}=null: a projector has both widths, or neither for none"
            )

    def projector(self, dim: int) -> tuple[nn.Module | None, int]:
        if self.proj_hidden_dim is None or self.proj_output_dim is None:
            return None, dim
        return projector(dim, self.proj_hidden_dim, self.proj_output_dim), self.proj_output_dim


def _written(site: Sequence[Any]) -> str:
    taps = ["null" if tap is None else str(tap) for tap in site]
    return taps[0] if len(taps) == 1 else f"[{','.join(taps)}]"
