"""All arms of a run: what they add to an objective, each by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from jepa_lab.auxiliary.contract import AuxInputs, SiteOptions
from jepa_lab.losses import LossTerms


class AuxTerms(nn.ModuleDict):
    """The arms by name; empty without any. Whatever objective they stand in has them weighted,
    called and told of its steps here."""

    def named(self) -> Iterator[tuple[str, AuxTerm]]:
        """(name, arm)."""
        for name, arm in self.items():
            assert isinstance(arm, AuxTerm)
            yield name, arm

    def weights(self, progress: float) -> dict[str, float]:
        """The weight of every arm when that share of the run's steps is done."""
        return {name: arm.options.weight_at(progress) for name, arm in self.named()}

    def forward(self, taps: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """Of taps by name, (..., d) each, unweighted: the loss of every arm under its name, its
        terms under <arm>_<term>."""
        terms = {}
        for name, arm in self.named():
            out = arm(taps, step)
            terms[name] = out.total
            terms |= {f"{name}_{term}": value for term, value in out.terms.items()}
        return terms

    def end_ramps(self) -> None:
        """Gives every weight at once what it is to become."""
        for _, arm in self.named():
            arm.options.ramp = 0.0

    def end_step(self, skipped: bool) -> None:
        """Moves what moves once per optimiser step; `skipped`: the step is left out."""
        for _, arm in self.named():
            arm.loss.end_step(skipped)

    @property
    def ema_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """(average, what it follows) of the teachers' heads."""
        return [pair for _, arm in self.named() for pair in arm.loss.ema_pairs]


class AuxTerm(nn.Module):
    """Reads the taps of its site, projects their rows, and gives what the loss says of them,
    without the weight.

    `widths`: of every tap; `averaged`: there is an EMA teacher. The rows of both taps of a pair go
    through one projector, in a call each.
    """

    def __init__(
        self, options: SiteOptions, widths: Mapping[str, int], has_ema_teacher: bool
    ) -> None:
        super().__init__()
        self.options = options
        self.projector, width = options.projector(widths[options.reads[0]])
        self.loss = options.build(width, has_ema_teacher)

    def forward(self, taps: Mapping[str, Tensor], step: int) -> LossTerms:
        """taps by name, (..., d) each; leading dimensions are rows alike."""
        rows = [self._projected(taps[name].flatten(0, -2)) for name in self.options.reads]
        return self.loss(AuxInputs(taps, rows[0], rows[1] if len(rows) > 1 else None, step))

    def _projected(self, rows: Tensor) -> Tensor:
        return rows if self.projector is None else self.projector(rows)
