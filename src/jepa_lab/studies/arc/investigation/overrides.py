"""Overrides of a configuration as dotted keys: applying them, comparing them, writing them."""

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
# the auxiliary losses, with the keys of their weights
LOSSES: Mapping[str, tuple[str, ...]] = {
    "sigreg": SIGREG,
    "color": ("loss.invariance.color",),
    "translation": ("loss.invariance.translation",),
    "symmetry": ("loss.invariance.symmetry",),
    "relational": RELATIONAL,
}


def overridden(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy of the configuration with the dotted keys set. Raises ValueError if a parent
    of a key is a value, not a group."""
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
    """Returns the overrides whose value differs from that of the configuration."""
    return {
        key: value for key, value in overrides.items() if not _same(value_of(config, key), value)
    }


def losses_of(config: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Returns LOSSES and the auxiliary losses of the group aux, as aux.<name>."""
    added = {f"aux.{name}": (f"aux.{name}.weight",) for name in config.get("aux") or {}}
    return {**LOSSES, **added}


def active_losses(config: Mapping[str, Any]) -> list[str]:
    """Returns the names of the auxiliary losses whose weight is not 0."""
    return [
        name
        for name, keys in losses_of(config).items()
        if any(value_of(config, key) for key in keys)
    ]


def without_losses(config: Mapping[str, Any], names: list[str]) -> Overrides:
    """Returns overrides that set the non-zero weights of these losses to 0."""
    known = losses_of(config)
    return {key: 0.0 for name in names for key in known[name] if value_of(config, key)}


def override_text(overrides: Mapping[str, Any]) -> str:
    """Formats overrides as on a command line."""
    return " ".join(f"{key}={text_of(value)}" for key, value in overrides.items())


def brief(overrides: Mapping[str, Any]) -> str:
    """Formats overrides for a table, where several disabled losses are listed by name."""
    off = [name for name, keys in LOSSES.items() if any(overrides.get(key) == 0.0 for key in keys)]
    if len(off) < 2:
        return override_text(overrides)
    rest = {
        key: value
        for key, value in overrides.items()
        if not any(key in LOSSES[name] for name in off)
    }
    return f"{override_text(rest)} without {', '.join(off)}".strip()


def text_of(value: Any) -> str:
    """Formats a value as on a command line."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)
