"""All arms of a run: what they add to an objective, each by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from jepa_lab.auxiliary.arm import Arm


class Arms(nn.ModuleDict):
    """The arms by name; empty without any. Whatever objective they stand in has them weighted, called and told of its
    steps here."""

    def named(self) -> Iterator[tuple[str, Arm]]:
        """(name, arm)."""
        for name, arm in self.items():
            assert isinstance(arm, Arm)
            yield name, arm

    def weights(self, progress: float) -> dict[str, float]:
        """The weight of every arm when that share of the run's steps is done."""
        return {name: arm.options.weight_at(progress) for name, arm in self.named()}

    def forward(self, taps: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """Of taps by name, (..., d) each, unweighted: the loss of every arm under its name, its terms under
        <arm>_<term>."""
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
