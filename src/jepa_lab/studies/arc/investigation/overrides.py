"""Changes of a configuration as dotted keys: laid over it, and what of them differs from what it
has already."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from jepa_lab.config.tree import value_of

Overrides = dict[str, Any]

SIGREG, RELATIONAL = (
    ("loss.sigreg.weight",),
    ("loss.relational.weight", "loss.relational.self_weight"),
)
LOSSES: Mapping[
    str, tuple[str, ...]
] = {  # the auxiliary losses and the keys that switch each of them off
    "sigreg": SIGREG,
    "color": ("loss.invariance.color",),
    "translation": ("loss.invariance.translation",),
    "symmetry": ("loss.invariance.symmetry",),
    "relational": RELATIONAL,
}


def overridden(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the configuration with the dotted keys set. ValueError where a key lies below
    something that has no keys."""
    changed = copy.deepcopy(dict(config))
    for key, value in overrides.items():
        *parents, last = key.split(".")
        place = changed
        for part in parents:
            if place.get(part) is None:
                place[part] = {}
            place = place[part]
            if not isinstance(place, dict):
                raise ValueError(
                    f"{key}={value}: {part} is {place!r} in this configuration, not a group"
                )
        place[last] = value
    return changed


def differences(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Overrides:
    """Those keys of the overlay that the configuration does not have already."""
    return {
        key: value for key, value in overrides.items() if not _same(value_of(config, key), value)
    }


def losses_of(config: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """LOSSES, and the arms of the group aux as aux.<arm>."""
    return {**LOSSES, **{f"aux.{arm}": (f"aux.{arm}.weight",) for arm in config.get("aux") or {}}}


def active_losses(config: Mapping[str, Any]) -> list[str]:
    """The auxiliary losses whose weight is not 0."""
    return [
        name
        for name, keys in losses_of(config).items()
        if any(value_of(config, key) for key in keys)
    ]


def without_losses(config: Mapping[str, Any], names: list[str]) -> Overrides:
    """The weights of these losses at 0, those that are not yet."""
    known = losses_of(config)
    return {key: 0.0 for name in names for key in known[name] if value_of(config, key)}


def words(overrides: Mapping[str, Any]) -> str:
    """The overlay as it is written on a command line."""
    return " ".join(f"{key}={text_of(value)}" for key, value in overrides.items())


def brief(overrides: Mapping[str, Any]) -> str:
    """The same for a table: several losses that are switched off are named, not their keys."""
    off = [name for name, keys in LOSSES.items() if any(overrides.get(key) == 0.0 for key in keys)]
    if len(off) < 2:
        return words(overrides)
    rest = {
        key: value
        for key, value in overrides.items()
        if not any(key in LOSSES[name] for name in off)
    }
    return f"{words(rest)} without {', '.join(off)}".strip()


def text_of(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)
