"""Reads YAML files of claims. A repeated key is an error, although YAML would take the last
value."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from jepa_lab.errors import UserError
from jepa_lab.files.text import parse_yaml, read_text


class _Once(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value == "<<" or not isinstance(key.value, str):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Returns the content of the file. Raises UserError if it is unreadable or no valid YAML."""
    try:
        return parse_yaml(read_text(path), _Once)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    # a date that does not exist raises ValueError
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def fill(document: str, name: str, content: str) -> str:
    """Returns the document with the text between `<!-- name -->` and `<!-- end -->` replaced.

    Raises UserError if the marks are missing."""
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(\n<!-- end -->)", re.S)
    if not pattern.search(document):
        raise UserError(f"the document has no mark <!-- {name} -->, closed by <!-- end -->")
    return pattern.sub(lambda match: f"{match[1]}\n{content}\n{match[2]}", document)
