"""Turns the composed configuration into a typed one, or raises a one-line error."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Generic, TypeVar, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from jepa_lab.config.extensions import Options, is_own, options_at
from jepa_lab.config.forms import require_forms
from jepa_lab.config.groups import conf_dir, keys_of
from jepa_lab.config.messages import PLAIN, describe
from jepa_lab.config.ranges import in_64_bits
from jepa_lab.config.run_config import RunConfig
from jepa_lab.errors import UserError

C = TypeVar("C", bound=RunConfig)
# an option with so many unknown keys belongs to another study; fewer are typing errors
FOREIGN = 3


@dataclass(frozen=True)
class TypedTree(Generic[C]):
    """A configuration with the types of `kind`, whose values are not yet checked together.

    - `merged` holds all values, without an interpolation.
    - `own` maps the keys of user-defined parts to their options as plain data and the class of
      such options.
    - `unset` are the keys without a value.
    """

    kind: type[C]
    merged: DictConfig
    own: dict[str, tuple[dict[str, Any], type[Options]]]
    unset: list[str]

    def build(self) -> C:
        """Returns the checked configuration, with the thread count filled in. Raises UserError for
        values that are out of range or contradict each other."""
        with one_line_errors():
            config = OmegaConf.to_object(self.merged)
            assert isinstance(config, self.kind)
            in_64_bits(asdict(config))  # again, for numbers that were given as text
            for key, (given, base) in self.own.items():
                _put(config, key, options_at(key, given, base))
            config.validate()
            if self.unset:
                raise UserError(f"{self.unset[0]}=???: a value is needed")
        if config.hardware.threads is None:
            config.hardware.threads = available_cores()
        return config


def check(
    cfg: DictConfig | dict[str, Any], kind: type[C], others: Sequence[type[RunConfig]] = ()
) -> C:
    """Returns the configuration as `kind`, with checked types and ranges and with the thread count
    filled in.

    A group that the study does not have must stay empty. `others` are the configurations of the
    other studies. An error names the study to which a wrong option belongs. Raises UserError.
    """
    return typed_tree(cfg, kind, others).build()


def typed_tree(
    cfg: DictConfig | dict[str, Any], kind: type[C], others: Sequence[type[RunConfig]] = ()
) -> TypedTree[C]:
    """Returns the configuration with the types of `kind`. Raises UserError as `check` does."""
    with one_line_errors():
        cfg = OmegaConf.create(cfg)
        in_64_bits(OmegaConf.to_container(cfg, resolve=False))
        cfg = _without_other_groups(cfg, kind)
        _require_groups(cfg, kind, others)
        unset = sorted(OmegaConf.missing_keys(cfg))  # the merge would put defaults in their place
        own = dict(_take_own(cfg, kind))
        merged = _merged(kind, OmegaConf.to_container(cfg, resolve=False), cfg)
        missing = sorted(OmegaConf.missing_keys(merged))
        if "name" in missing:
            raise UserError(
                "no experiment was named: add one, as in +experiment=teacherless_b (--help lists"
                " them)"
            )
        if missing:
            raise UserError(f"{missing[0]} is missing: it has no default")
        # again with the values of all interpolations, whose forms omegaconf does not check
        resolved = OmegaConf.to_container(merged, resolve=True)
        return TypedTree(kind, _merged(kind, resolved, resolved), own, unset)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns an error of omegaconf, and a ValueError, into a UserError."""
    try:
        yield
    except OmegaConfBaseException as error:
        raise UserError(describe(error)) from error
    except ValueError as error:
        raise UserError(str(error)) from error


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    )


def _without_other_groups(cfg: DictConfig, kind: type[C]) -> DictConfig:
    """Drops empty keys that the study does not have. Raises UserError for a group among them that
    is not empty."""
    names = {f.name for f in fields(kind)}
    with open_dict(cfg):
        for key in [str(k) for k in cfg if str(k) not in names]:
            if cfg[key] is None:
                cfg.pop(key)
            elif key in keys_of(conf_dir()):
                raise UserError(f"{key}: {kind.lacks}")
    return cfg


def _require_groups(cfg: DictConfig, kind: type[C], others: Sequence[type[RunConfig]]) -> None:
    for name in kind.groups:
        if name not in cfg:
            raise UserError(f"{name}: the group is missing from the configuration")
        if not isinstance(cfg[name], DictConfig):
            raise UserError(
                f"{name}={cfg[name]}: expected an option of the group {name} (--help lists them)"
            )
        keys = set(map(str, cfg[name]))
        if len(keys - _keys_of_group(kind, name, keys)) >= FOREIGN and not is_own(cfg[name]):
            owner = next(
                (f"the {o.title}" for o in others if keys <= _keys_of_group(o, name, set())),
                "another study",
            )
            option = (
                f"{name}={cfg[name].get('name')}"
                if cfg[name].get("name")
                else f"the option of the group {name}"
            )
            raise UserError(
                f"{option} belongs to {owner}, but this experiment trains the {kind.title} (see"
                " --help)"
            )
    if "tier" not in kind.groups:
        return
    given = cfg.dataset.get("tiers", {})
    if not isinstance(given, DictConfig):
        raise UserError(
            f"dataset.tiers={given}: expected the budget of each tier, as {{quick: {{epochs: 5}}}}"
        )
    tiers = sorted(str(name) for name in given)
    if str(cfg.tier.name) not in tiers:
        raise UserError(f"tier={cfg.tier.name}: dataset={cfg.dataset.name} has {', '.join(tiers)}")


def _keys_of_group(kind: type[RunConfig], name: str, default: set[str]) -> set[str]:
    """Returns the keys of a study's group, or `default` if the group is not a dataclass."""
    own = get_type_hints(kind).get(name)
    return {f.name for f in fields(own)} if is_dataclass(own) else default


def _take_own(
    cfg: DictConfig, kind: type[C]
) -> Iterator[tuple[str, tuple[dict[str, Any], type[Options]]]]:
    """Yields (dotted key, (options as plain data, their class)) of user-defined parts, whose
    options are checked, and removes them from `cfg`. In a slot for one part a stand-in value takes
    its place (see _stand_in). From a slot for several parts its key is removed."""
    for slot, base in kind.slots.items():
        for key in _filled(cfg, slot):
            given: Any = OmegaConf.to_container(OmegaConf.select(cfg, key), resolve=True)
            if not is_own(given):
                if slot.endswith("*"):
                    options_at(key, given, base)  # raises, as _target_ is missing
                continue
            options_at(key, given, base)  # raises for invalid ones
            place, _, name = key.rpartition(".")
            parent = OmegaConf.select(cfg, place) if place else cfg
            with open_dict(parent):
                if slot.endswith("*"):
                    parent.pop(name)
                else:
                    parent[name] = _stand_in(kind, key)
            yield key, (given, base)


def _stand_in(kind: type[C], key: str) -> Any:
    """Returns the value that takes the place of user-defined options while `cfg` is checked."""
    node = OmegaConf.select(_structured(kind), key)  # type: ignore[arg-type]
    if isinstance(node, DictConfig):
        return {name: "own" for name in node if OmegaConf.is_missing(node, name)}
    return "own"


def _filled(cfg: DictConfig, slot: str) -> list[str]:
    """Returns the keys of the configuration that match a slot."""
    place, star = slot.removesuffix(".*"), slot.endswith(".*")
    node = OmegaConf.select(cfg, place)
    if not star:
        return [slot] if isinstance(node, DictConfig) else []
    return [f"{place}.{name!s}" for name in node] if isinstance(node, DictConfig) else []


def _put(config: Any, key: str, options: Any) -> None:
    """Sets a dotted key of a typed configuration."""
    *parents, name = key.split(".")
    for part in parents:
        config = config[part] if isinstance(config, dict) else getattr(config, part)
    if isinstance(config, dict):
        config[name] = options
    else:
        setattr(config, name, options)


@cache
def _structured(kind: Hashable) -> DictConfig:
    """Returns the types and defaults of a configuration class, which callers only read."""
    typed: DictConfig = OmegaConf.structured(kind)
    return typed


def _merged(kind: type[C], plain: Any, cfg: Any) -> DictConfig:
    """Returns `cfg` with the types of `kind`; `plain` is the same as plain data."""
    typed = _structured(kind)  # type: ignore[arg-type]
    require_forms(typed, plain)
    merged = OmegaConf.merge(typed, cfg)
    assert isinstance(merged, DictConfig)
    _refuse_nested(merged, "")
    return merged


def _refuse_nested(node: Any, key: str) -> None:
    """Raises UserError for a list nested in a list of numbers or texts, which omegaconf would
    accept."""
    if not isinstance(node, DictConfig | ListConfig) or node._is_none() or node._is_missing():
        return
    if isinstance(node, DictConfig):
        for name in node:
            _refuse_nested(node._get_node(name), f"{key}.{name!s}".lstrip("."))
        return
    expected = PLAIN.get(node._metadata.element_type)
    for at in range(len(node)):
        inner = node._get_node(at)
        if expected and isinstance(inner, DictConfig | ListConfig):
            raise UserError(f"{key}[{at}]={inner}: expected {expected}")
        _refuse_nested(inner, f"{key}[{at}]")
