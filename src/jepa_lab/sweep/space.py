"""The search space of a search, read from overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override

from jepa_lab.errors import UserError

Value = float | int | str
Settings = dict[str, Value]
EXAMPLE = "'loss.lambda_rate=tag(log,interval(1e-4,1e-1))'"


@dataclass(frozen=True)
class Axis:
    """One key with the values to search.

    The values are whole or real numbers from `low` to `high`, on a logarithmic scale or not, or one
    of `choices`.
    """

    key: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    choices: tuple[str, ...] = ()

    def suggest(self, trial: Any) -> Value:
        """Returns the value that an Optuna trial suggests. Real numbers have four digits, so that
        they are easy to read and type."""
        if self.choices:
            return str(trial.suggest_categorical(self.key, list(self.choices)))
        assert self.low is not None
        assert self.high is not None
        if self.whole:
            return int(trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log))
        value = float(f"{trial.suggest_float(self.key, self.low, self.high, log=self.log):.4g}")
        return min(max(value, self.low), self.high)

    def ends(self) -> list[Value]:
        """Returns the outermost values, or all choices."""
        if self.choices:
            return list(self.choices)
        assert self.low is not None
        assert self.high is not None
        return [int(self.low), int(self.high)] if self.whole else [self.low, self.high]


@dataclass(frozen=True)
class Space:
    """The axes, the seeds that every trial runs, and the overrides that all jobs share."""

    axes: tuple[Axis, ...]
    seeds: tuple[str, ...]
    common: tuple[str, ...]

    def overrides(self, settings: Mapping[str, Value], seed: str) -> list[str]:
        """Returns the overrides of the job with these settings and this seed."""
        return [
            *self.common,
            *(f"{key}={value}" for key, value in settings.items()),
            f"seed={seed}",
        ]

    def outermost(self) -> list[list[str]]:
        """Returns jobs that together contain every end of every axis, with the first seed."""
        ends = [axis.ends() for axis in self.axes]
        return [
            self.overrides(
                {
                    a.key: values[min(i, len(values) - 1)]
                    for a, values in zip(self.axes, ends, strict=True)
                },
                self.seeds[0],
            )
            for i in range(max(map(len, ends)))
        ]


def read_space(overrides: Sequence[Override]) -> Space:
    """Returns the space of the parsed overrides, where a later override of a key replaces an
    earlier one.

    All values of `seed` belong to every trial. Every other key with a sweep is searched:
    interval(...), int(interval(...)), tag(log,...) of these, or a list. Raises UserError if there
    is no such key.
    """
    latest = {override.get_key_element(): override for override in overrides}
    seeds, axes, common = ["0"], [], []
    for key, override in latest.items():
        value = override.value()
        if isinstance(value, IntervalSweep):
            axes.append(_axis(key, override, value))
        elif key == "seed":
            swept = override.is_sweep_override()
            seeds = (
                list(override.sweep_string_iterator())
                if swept
                else [override.get_value_element_as_str()]
            )
        elif override.is_sweep_override():
            axes.append(Axis(key, choices=tuple(dict.fromkeys(override.sweep_string_iterator()))))
        else:
            common.append(f"{key}={override.get_value_element_as_str()}")
    if not seeds:
        raise UserError(f"{latest['seed'].input_line}: no seed; give one or more, as seed=0,1")
    if not axes:
        raise UserError(
            f"hydra/sweeper=search: nothing to search; give a key a range, as {EXAMPLE}"
        )
    return Space(tuple(axes), tuple(dict.fromkeys(seeds)), tuple(common))


def _axis(key: str, override: Override, value: IntervalSweep) -> Axis:
    low, high = value.start, value.end
    if low is None or high is None or not low < high:
        raise UserError(f"{override.input_line}: an interval goes from a number to a larger one")
    if key == "seed":
        raise UserError(
            f"{override.input_line}: seeds are not searched; give those of every trial, as seed=0,1"
        )
    log = "log" in value.tags
    if log and not low > 0:
        raise UserError(f"{override.input_line}: a logarithmic interval begins above 0")
    return Axis(key, float(low), float(high), log, isinstance(low, int) and isinstance(high, int))


def settings_text(settings: Mapping[str, Value]) -> str:
    """Returns the settings as text, 'loss.lambda_rate=0.0123 target=ema'."""
    return " ".join(f"{key}={value}" for key, value in settings.items())
