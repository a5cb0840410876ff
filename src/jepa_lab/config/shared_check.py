"""Checks configurations that differ in a few plain values, as the jobs of a sweep do, without
merging all keys anew."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from omegaconf import DictConfig, ListConfig, OmegaConf, ValueNode, open_dict

from jepa_lab.config.check import TypedTree, one_line_errors, typed_tree
from jepa_lab.config.forms import require_forms
from jepa_lab.config.gates import READ_BY_GATES
from jepa_lab.config.ranges import in_64_bits
from jepa_lab.config.run_config import RunConfig
from jepa_lab.config.tree import leaves
from jepa_lab.errors import UserError

C = TypeVar("C", bound=RunConfig)
Path = tuple[str, ...]
Changes = dict[Path, Any]

MOST = 64  # configurations that are kept for comparison
# the check reads these when it looks for the options of groups and for user-defined parts
NO_VALUES = ("name", "study", "_target_")
RESOLVER = re.compile(r"\$\{\s*([^${}:\s]+)\s*:")
LAST = re.compile(r"([^.${}:\s\[\]]+)\s*\}")  # the last key of an interpolation


class SharedCheck:
    """Checks the jobs of a sweep. It keeps the typed trees of earlier jobs, and reuses one for a
    job that differs in numbers, texts, true and false only, which no interpolation reads."""

    def __init__(self) -> None:
        self._known: list[_Known] = []

    def check(self, cfg: DictConfig, kind: type[C], others: Sequence[type[RunConfig]] = ()) -> C:
        """Returns what `check` of config.check returns for the configuration of a job without the
        node `hydra`. Raises UserError as it does."""
        content = {str(name): _plain_data(cfg._get_node(name)) for name in cfg if name != "hydra"}
        for known in reversed(self._known):
            if known.tree.kind is kind and (changes := known.changes(content)) is not None:
                try:
                    config = known.changed(changes)
                except UserError:  # the whole check decides, with its own message
                    break
                if config is not None:
                    return config
        tree = typed_tree(without_hydra(cfg), kind, others)
        config = tree.build()
        new = _Known.of(content, tree)
        if new is not None:
            self._known = [*self._known[1 - MOST :], new]
        return config


@dataclass(frozen=True)
class _Known:
    """A checked configuration as composed, its typed tree, and the last keys of its
    interpolations."""

    content: dict[str, Any]
    tree: TypedTree[Any]
    read: frozenset[str]

    @classmethod
    def of(cls, content: dict[str, Any], tree: TypedTree[Any]) -> _Known | None:
        """Returns None if interpolations may read other keys than those that they name."""
        texts = [text for _, text in leaves(content) if _interpolates(text)]
        if any(set(RESOLVER.findall(text)) - {"gate"} or "[" in text for text in texts):
            return None
        if any("}}" in text.replace(" ", "") for text in texts):  # the last key is computed
            return None
        return cls(content, tree, frozenset(key for text in texts for key in LAST.findall(text)))

    def changes(self, content: Mapping[str, Any]) -> Changes | None:
        """Returns {path: new value} of the plain values in which a configuration differs. None if
        it differs in anything else, or in a value that an interpolation reads."""
        found = list(_differences(self.content, content, ()))
        for path, old, new in found:
            if not all(isinstance(name, str) for name in path):
                return None
            dotted = ".".join(path)
            if not _is_plain(old, new) or path[-1] in NO_VALUES or self.read & set(path):
                return None
            if any(dotted == key or dotted.startswith(f"{key}.") for key in READ_BY_GATES):
                return None
        return {path: new for path, _, new in found}

    def changed(self, changes: Changes) -> Any:
        """Returns the checked configuration with other values, None if one of them has no plain
        node. Raises UserError for an invalid one."""
        own = copy.deepcopy(self.tree.own)
        before: list[tuple[ValueNode, Any]] = []
        try:
            for path, value in changes.items():
                key = next((key for key in own if ".".join(path).startswith(f"{key}.")), None)
                if key is not None:
                    _put(own[key][0], path[key.count(".") + 1 :], value)
                elif (place := _node(self.tree.merged, path)) is None:
                    return None
                else:
                    parent, node = place
                    before.append((node, node._value()))
                    with one_line_errors():
                        in_64_bits({path[-1]: value})
                        require_forms(parent, {path[-1]: value})
                        parent[path[-1]] = value
            return replace(self.tree, own=own).build()
        finally:
            for node, old in before:
                node._set_value(old)


def _put(given: dict[str, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        given = given[name]
    given[path[-1]] = value


def _node(merged: DictConfig, path: Path) -> tuple[DictConfig, ValueNode] | None:
    """Returns (parent, node) of a plain value, None if there is no such node."""
    parent: Any = merged
    for name in path[:-1]:
        parent = parent._get_node(name) if isinstance(parent, DictConfig) else None
    node = parent._get_node(path[-1]) if isinstance(parent, DictConfig) else None
    return (parent, node) if isinstance(node, ValueNode) else None


def without_hydra(job: DictConfig) -> DictConfig:
    """Returns the configuration of the job without the node `hydra`, as the job sees it."""
    plain = OmegaConf.create(job)
    with open_dict(plain):
        plain.pop("hydra", None)
    return plain


def _plain_data(node: Any) -> Any:
    """Returns a node as plain data, with its interpolations as they are written."""
    if isinstance(node, DictConfig | ListConfig):
        return OmegaConf.to_container(node, resolve=False)
    return node._value()


def _differences(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """Yields (path, old value, new value) of the outermost values that differ."""
    if isinstance(old, dict) and isinstance(new, dict) and list(old) == list(new):
        for name, value in old.items():
            yield from _differences(value, new[name], (*path, name))
    elif repr(old) != repr(new):
        yield path, old, new


def _is_plain(old: Any, new: Any) -> bool:
    """Returns whether both are numbers, or of the same type and without a meaning of their own, as
    an interpolation has."""
    if any(_interpolates(value) or value == "???" for value in (old, new)):
        return False
    if {type(old), type(new)} <= {int, float}:
        return True
    return type(old) is type(new) and isinstance(new, bool | str)


def _interpolates(value: Any) -> bool:
    return isinstance(value, str) and "${" in value
