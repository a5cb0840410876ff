"""From the composed configuration to a typed one, or to one line that says what is wrong with it."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import fields
from typing import Any, TypeVar

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from jepa_lab.config.groups import conf_dir, folder_of, options_of
from jepa_lab.errors import UserError
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.seq_jepa.config import Config

C = TypeVar("C", Config, ToyConfig, ArcConfig)
AnyConfig = Config | ToyConfig | ArcConfig
GROUPS = ("model", "encoder", "target", "loss", "aux", "dataset", "optim", "precision", "tier", "recipe", "logger",
          "vq", "preflight", "probes", "monitor", "diagnosis", "gates", "experiment_gates", "expected")  # fmt: skip
STUDIES: dict[str, type[ToyConfig] | type[ArcConfig]] = {"linear_byol": ToyConfig, "arc": ArcConfig}
NO_GROUP = {  # what a study says of a group that it leaves empty
    "linear_byol": "the linear BYOL toy has no such group; its keys are top-level (--cfg job)",
    "arc": "the ARC JEPA has no such group",
}

EXPECTED = {  # by what omegaconf says of a value of another type
    r"Value '(.*)' of type '.*' could not be converted to Integer": "a whole number",
    r"Value '(.*)' of type '.*' could not be converted to Float": "a number",
    r"Value '(.*)' is not a valid bool": "true or false",
    r"Cannot convert '.*' to string: '(.*)'": "a text",
    r"Incompatible value '(None)' for field of type 'int'": "a whole number",
    r"Incompatible value '(None)' for field of type 'float'": "a number",
    r"Incompatible value '(None)' for field of type 'bool'": "true or false",
    r"Incompatible value '(None)' for field of type 'str'": "a text",
    r"Invalid type assigned: (None)Type is not a subclass of int": "a whole number",
    r"Invalid type assigned: (None)Type is not a subclass of float": "a number",
}
IN_YAML = {"None": "null", "True": "true", "False": "false"}
PLAIN: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def check(cfg: DictConfig | dict[str, Any]) -> Config:
    """The configuration with types and ranges checked and the thread count written in. Raises UserError."""
    return _checked(cfg, Config)


def check_toy(cfg: DictConfig | dict[str, Any]) -> ToyConfig:
    """The same for the linear BYOL toy, whose keys are its own."""
    return _checked(cfg, ToyConfig)


def check_arc(cfg: DictConfig | dict[str, Any]) -> ArcConfig:
    """The same for the ARC JEPA."""
    return _checked(cfg, ArcConfig)


def check_any(cfg: DictConfig) -> AnyConfig:
    """The same for the study that the configuration belongs to."""
    study = cfg.get("study")
    if study is None:
        return check(cfg)
    if study not in STUDIES:
        raise UserError(f"study={study}: no such study{nearest(str(study), list(STUDIES))}")
    return check_arc(cfg) if study == "arc" else check_toy(cfg)


def _checked(cfg: DictConfig | dict[str, Any], kind: type[C]) -> C:
    try:
        if not isinstance(cfg, DictConfig):
            cfg = OmegaConf.create(cfg)
        if kind is Config:
            _require_mappings(cfg, SEQ_JEPA_GROUPS)
            _require_tier(cfg)
        else:
            cfg = _without_other_studies(cfg, _names(kind))
        if kind is ArcConfig:
            _require_mappings(cfg, ARC_GROUPS)
            _require_tier(cfg)
        merged = OmegaConf.merge(OmegaConf.structured(kind), cfg)
        _refuse_nested(merged, "")
        missing = sorted(OmegaConf.missing_keys(merged))
        if "name" in missing:
            raise UserError("no experiment was named: add one, as in +experiment=teacherless_b (--help lists them)")
        if missing:
            raise UserError(f"{missing[0]} is missing: it has no default")
        config = OmegaConf.to_object(merged)
        assert isinstance(config, kind)
        config.validate()
    except OmegaConfBaseException as error:
        raise UserError(describe(error)) from error
    except ValueError as error:
        raise UserError(str(error)) from error
    if config.hardware.threads is None:
        config.hardware.threads = available_cores()
    return config


def _refuse_nested(node: Any, key: str) -> None:
    """UserError for a list in a list of numbers or texts: omegaconf lets it pass."""
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


def _without_other_studies(cfg: DictConfig, names: set[str]) -> DictConfig:
    """Without the groups that the study's experiments empty. UserError for one that was filled again."""
    kept = OmegaConf.create(cfg)
    with open_dict(kept):
        for key in [str(k) for k in kept if str(k) not in names]:
            if key in GROUPS and kept[key] is not None:
                raise UserError(f"{key}: {NO_GROUP[str(cfg.study)]}")
            if kept[key] is None:
                kept.pop(key)
    return kept


def arc_structured(cfg: DictConfig) -> DictConfig:
    """The configuration of an ARC JEPA with types, its values not checked. UserError for another study's, and errors of
    omegaconf for keys and types."""
    if cfg.get("study") != "arc":
        raise UserError(f"study={cfg.get('study')}: not the study of the ARC JEPA")
    merged = OmegaConf.merge(OmegaConf.structured(ArcConfig), _without_other_studies(cfg, _names(ArcConfig)))
    assert isinstance(merged, DictConfig)
    return merged


def _names(kind: type[C]) -> set[str]:
    return {f.name for f in fields(kind)}


def to_yaml(config: Config | ArcConfig) -> str:
    """The configuration as YAML, every derived value written down."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def available_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def describe(error: OmegaConfBaseException) -> str:
    """One line for an error of omegaconf: the key, and the nearest valid name if it is unknown."""
    key = str(getattr(error, "full_key", None) or getattr(error, "key", None) or "")
    if isinstance(error, (ConfigAttributeError, ConfigKeyError)):
        parent = getattr(error, "parent_node", None)
        names = [str(k) for k in parent] if parent is not None else []
        group = key.split(".")[0]
        study = None if parent is None else parent._get_root().get("study")
        if group in GROUPS and study in NO_GROUP and group not in {f.name for f in fields(STUDIES[study])}:
            return f"{group}: {NO_GROUP[study]}"
        return f"{key}: no such key{unselected(key) or nearest(key.rsplit('.', 1)[-1], names)}"
    text = str(error).split("\n", 1)[0].strip()
    if needed := re.match(r"field '(.*)' is not Optional", text):
        return f"{needed[1]}=null: a value is needed"
    if found := re.match(r"Merge error: \w+ is not a subclass of \w+\. value: (.*)", text):
        return f"{found[1]}: one value for a group of keys; name the key, as in sweep.control=..."
    if "is not a ListConfig" in text or "Cannot merge DictConfig with ListConfig" in text:
        return f"{key}: expected a list, as in {key}=[...]"
    for pattern, expected in EXPECTED.items():
        if key and (found := re.match(pattern, text)):
            return f"{key}={IN_YAML.get(found[1], found[1])}: expected {expected}"
    return f"{key}: {text}" if key and key not in text else text


def unselected(key: str) -> str:
    """'; ...' for a key of an arm of the group aux that exists and is not among the chosen ones, or of one that does
    not exist; '' for any other key."""
    group, _, rest = key.partition(".")
    arm = rest.partition(".")[0]
    if group != "aux" or "." in rest or not arm:
        return ""
    known = options_of(folder_of(conf_dir(), "aux"))
    if arm in known:
        return f", since {arm} is not selected; give aux={arm}, or aux=[...,{arm}] beside others"
    return nearest(arm, known)


def nearest(name: str, candidates: list[str]) -> str:
    """'; did you mean ...?' for the closest candidate, or the list of them where it is short, or nothing."""
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; one of {', '.join(sorted(candidates))}" if 0 < len(candidates) <= 12 else ""


def _require_tier(cfg: DictConfig) -> None:
    given = cfg.dataset.get("tiers", {})
    if not isinstance(given, DictConfig):
        raise UserError(f"dataset.tiers={given}: expected the budget of each tier, as {{quick: {{epochs: 5}}}}")
    tiers = sorted(str(name) for name in given)
    if str(cfg.tier.name) not in tiers:
        raise UserError(f"tier={cfg.tier.name}: dataset={cfg.dataset.name} has {', '.join(tiers)}")


SEQ_JEPA_GROUPS = ("model", "encoder", "target", "loss", "dataset", "optim", "precision", "hardware", "tier", "logger")
ARC_GROUPS = ("model", "vq", "target", "loss", "dataset", "optim", "precision", "hardware", "tier", "logger")

OF_ARC = {"dataset": "kind", "loss": "temperature", "model": "context"}  # group: a key that only ARC's options have


def _require_mappings(cfg: DictConfig, groups: tuple[str, ...]) -> None:
    for name in groups:
        if name in cfg and not isinstance(cfg[name], DictConfig):
            raise UserError(f"{name}={cfg[name]}: expected an option of the group {name} (--help lists them)")
        if name not in cfg:
            raise UserError(f"{name}: the group is missing from the configuration")
    for name, key in OF_ARC.items():
        if (key in cfg[name]) != (groups is ARC_GROUPS):
            whose = ("seq-JEPA", "ARC JEPA") if groups is ARC_GROUPS else ("ARC JEPA", "seq-JEPA")
            label = cfg[name].get("name")
            given = f"{name}={label}" if label else f"the option of the group {name}"
            raise UserError(f"{given} is one of the {whose[0]}, and this experiment trains the {whose[1]} (see --help)")
