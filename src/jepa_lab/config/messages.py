"""One-line messages for errors of a configuration: the key, the value, and the expected value."""

from __future__ import annotations

import re
from typing import Any

from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from jepa_lab.config.forms import expected_keys, expected_list
from jepa_lab.config.groups import conf_dir, folder_of, options_of
from jepa_lab.errors import nearest

EXPECTED = {  # omegaconf's message for a wrong type -> the expected type
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
PLAIN: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
}


def describe(error: OmegaConfBaseException) -> str:
    """Returns a one-line message for an omegaconf error: the key, and the nearest valid name if the
    key is unknown."""
    key = str(getattr(error, "full_key", None) or getattr(error, "key", None) or "")
    if isinstance(error, (ConfigAttributeError, ConfigKeyError)):
        parent = getattr(error, "parent_node", None)
        names = [str(k) for k in parent] if parent is not None else []
        return f"{key}: no such key{unselected(key) or nearest(key.rsplit('.', 1)[-1], names)}"
    text = str(error).split("\n", 1)[0].strip()
    if needed := re.match(r"field '(.*)' is not Optional", text):
        return f"{needed[1]}=null: a value is needed"
    if found := re.match(r"Merge error: \w+ is not a subclass of \w+\. value: (.*)", text):
        return f"{found[1]}: one value for a group of keys; name the key, as in sweep.control=..."
    if "is not a ListConfig" in text or "Cannot merge DictConfig with ListConfig" in text:
        return _expected_form(key, getattr(error, "parent_node", None))
    for pattern, expected in EXPECTED.items():
        if key and (found := re.match(pattern, text)):
            return f"{key}={IN_YAML.get(found[1], found[1])}: expected {expected}"
    return f"{key}: {text}" if key and key not in text else text


def _expected_form(key: str, place: Any) -> str:
    """Returns the line about a list for a group of keys, or about another value for a list. `place`
    is the node of the error: the group itself, or what holds the list."""
    if isinstance(place, DictConfig) and place._get_full_key(None) == key:
        return expected_keys(key, place)
    return expected_list(key)


def unselected(key: str) -> str:
    """Returns an explanation if `key` belongs to an option of the group aux that is not selected.
    It returns similar names if the option does not exist, and "" for any other key."""
    group, _, rest = key.partition(".")
    name = rest.partition(".")[0]
    if group != "aux" or "." in rest or not name:
        return ""
    known = options_of(folder_of(conf_dir(), "aux"))
    if name in known:
        return f", since {name} is not selected; give aux={name}, or aux=[...,{name}] beside others"
    return nearest(name, known)
