"""The auxiliary losses of a run, each under its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from jepa_lab.auxiliary.contract import AuxInputs, SiteOptions
from jepa_lab.losses import LossTerms


class AuxTerms(nn.ModuleDict):
    """The auxiliary terms of an objective by name, possibly none. Every objective computes, weights
    and steps its auxiliary terms through this class."""

    def named(self) -> Iterator[tuple[str, AuxTerm]]:
        """Yields (name, auxiliary term)."""
        for name, term in self.items():
            assert isinstance(term, AuxTerm)
            yield name, term

    def weights(self, progress: float) -> dict[str, float]:
        """Returns the weight of every term at `progress`, the share of the run's steps that is
        done."""
        return {name: term.options.weight_at(progress) for name, term in self.named()}

    def forward(self, taps: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """Maps taps by name, (..., d) each, to unweighted losses. The loss of every auxiliary term
        is under its name, and its parts are under <name>_<part>."""
        losses = {}
        for name, term in self.named():
            out = term(taps, step)
            losses[name] = out.total
            losses |= {f"{name}_{part}": value for part, value in out.terms.items()}
        return losses

    def end_ramps(self) -> None:
        """Sets every weight to its final value at once."""
        for _, term in self.named():
            term.options.ramp = 0.0

    def end_step(self, skipped: bool) -> None:
        """Updates the state that changes once per optimiser step. `skipped` is true for a skipped
        step."""
        for _, term in self.named():
            term.loss.end_step(skipped)

    @property
    def ema_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Pairs (average, online module) of the teachers' heads."""
        return [pair for _, term in self.named() for pair in term.loss.ema_pairs]


class AuxTerm(nn.Module):
    """Computes one auxiliary loss from the taps of its site, with its projector but without its
    weight.

    `widths` maps each tap to its number of features. `has_ema_teacher` is true if an EMA teacher
    exists. Both taps of a pair go through the same projector, in separate calls.
    """

    def __init__(
        self, options: SiteOptions, widths: Mapping[str, int], has_ema_teacher: bool
    ) -> None:
        super().__init__()
        self.options = options
        self.projector, width = options.projector(widths[options.reads[0]])
        self.loss = options.build(width, has_ema_teacher)

    def forward(self, taps: Mapping[str, Tensor], step: int) -> LossTerms:
        """Maps taps by name, (..., d) each, to the loss. All leading dimensions are rows."""
        rows = [self._projected(taps[name].flatten(0, -2)) for name in self.options.reads]
        return self.loss(AuxInputs(taps, rows[0], rows[1] if len(rows) > 1 else None, step))

    def _projected(self, rows: Tensor) -> Tensor:
        return rows if self.projector is None else self.projector(rows)
