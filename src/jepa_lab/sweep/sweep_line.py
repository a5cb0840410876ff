"""The arms, seeds and overrides that the command line of +experiment=aux_comparison defines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra.core.override_parser.types import Override

from jepa_lab.config.groups import conf_dir, folder_of, options_of
from jepa_lab.errors import UserError, nearest
from jepa_lab.ledger.command_line import key_of

Overrides = list[str]


@dataclass(frozen=True)
class SweepLine:
    """The comparison that the command line defines. An arm of several losses is written
    [vicreg,sigreg]. `seeds` are the reported seeds. `common` are the overrides that all jobs share.
    `own` maps a loss to the overrides of its keys."""

    arms: list[str]
    seeds: list[int]
    common: Overrides
    own: dict[str, Overrides] = field(default_factory=dict)

    def job(self, arm: str, seed: int, weights: Sequence[str] = ()) -> Overrides:
        """Returns the overrides of a job. Those of `weights` replace the ones from the command
        line."""
        replaced = {key_of(override) for override in weights}
        own = [
            override
            for name in members(arm)
            for override in self.own.get(name, [])
            if key_of(override) not in replaced
        ]
        return [*self.common, f"aux={arm}", f"seed={seed}", *own, *weights]


def read_line(overrides: Sequence[Override]) -> SweepLine:
    """Returns the comparison of the parsed overrides, where a later override of a key replaces an
    earlier one. Raises UserError for a missing seed or arm, for equal arms, and for any other
    sweep."""
    latest = {override.get_key_element(): override for override in overrides}
    texts: dict[str, list[str]] = {}
    for key, override in latest.items():
        swept = override.is_sweep_override()
        texts[key] = (
            list(override.sweep_string_iterator())
            if swept
            else [override.get_value_element_as_str()]
        )
        if swept and key not in ("aux", "seed"):
            raise UserError(
                f"{_as_typed(override)}: a comparison sweeps only aux and seed; give"
                f" {key.lstrip('+')} one value"
            )
    arms, seeds = (list(dict.fromkeys(texts.pop(key, []))) for key in ("aux", "seed"))
    if not seeds:
        raise UserError(
            f"{latest['seed'].input_line}: no seed to report; give one or more, as seed=range(0,8)"
        )
    if not arms:
        raise UserError(
            f"{latest['aux'].input_line}: no arm to compare; give one or more, as aux=none,vicreg"
        )
    alike = [(a, b) for i, b in enumerate(arms) for a in arms[:i] if _acting(a) == _acting(b)]
    if alike:
        raise UserError(
            f"aux={','.join(arms)}: {alike[0][0]} and {alike[0][1]} are the same arm; leave one"
            " of them out"
        )
    try:
        numbers = [int(seed) for seed in seeds]
    except ValueError:
        raise UserError(f"seed={','.join(seeds)}: expected whole numbers, as seed=0,1,2") from None
    own: dict[str, Overrides] = {}
    for key in [key for key in texts if key.lstrip("+").startswith("aux.")]:
        name, text = _of_an_arm(key.lstrip("+"), texts.pop(key)[0], arms)
        own.setdefault(name, []).append(text)
    return SweepLine(arms, numbers, [f"{key}={value}" for key, (value,) in texts.items()], own)


def members(arm: str) -> list[str]:
    """Returns the losses of an arm, ['vicreg', 'sigreg'] for '[vicreg,sigreg]'."""
    return [name.strip() for name in arm.strip("[]").split(",")]


def _acting(arm: str) -> frozenset[str]:
    """Returns the losses of an arm as a set, without quotation marks and without the name
    `none`."""
    return frozenset(name.strip("'\"") for name in members(arm)) - {"", "none"}


def _of_an_arm(key: str, value: str, arms: Sequence[str]) -> tuple[str, str]:
    """Returns (loss, override) for a key such as aux.vicreg.eps. Raises UserError if no arm has the
    loss."""
    name = key.split(".")[1]
    if not any(name in members(arm) for arm in arms):
        if name not in options_of(folder_of(conf_dir(), "aux")):
            raise UserError(
                f"{key}: no such key{nearest(name, [m for arm in arms for m in members(arm)])}"
            )
        raise UserError(
            f"{key}={value}: {name} is not among the arms; give aux={','.join([*arms, name])}"
        )
    return name, f"{key}={value}"


def _as_typed(override: Override) -> str:
    return str(override.input_line).removeprefix("++")
