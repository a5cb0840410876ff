"""Reads text, JSON and YAML within limits. Nothing in a file is executed."""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from jepa_lab.files import limits
from jepa_lab.files.limits import OverLimit, size_text

# libyaml's loader reads ten times as fast, which matters for hundreds of runs
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
GZIP = b"\x1f\x8b"
# digits and colons are a number in base 60, which takes time quadratic in its length
LONG_NUMBER = re.compile(r"[-+.:_\d]{1001,}")


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Returns the content of a file of at most `most` bytes (limits.TEXT_BYTES by default).

    Raises OverLimit for a larger file and for a pipe or a device, which may have no end. Raises
    OSError if the file cannot be read.
    """
    most = limits.TEXT_BYTES if most is None else most
    limits.size_within(path, most)
    with open(path, "rb") as file:
        return _at_most(file, most, "")


def read_text(path: Path, most: int | None = None) -> str:
    """Returns the content of a UTF-8 file. Raises OverLimit and OSError as `read_bytes` does, and
    UnicodeDecodeError for another encoding."""
    return read_bytes(path, most).decode("utf-8")


def unpack_gzip(data: bytes, most: int) -> bytes:
    """Returns the content of gzipped bytes. Raises OverLimit beyond `most` bytes, and
    gzip.BadGzipFile, EOFError or zlib.error for broken data."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return _at_most(file, most, "unpacks to ")


def parse_json(text: str, **options: Any) -> Any:
    """Parses JSON like json.loads, with its options. Raises OverLimit for values that are nested
    more than limits.DEPTH levels deep and for a number of more digits than Python converts, and
    JSONDecodeError for other text."""
    try:
        content = json.loads(text, **options)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError:
        raise
    except ValueError:
        most = sys.get_int_max_str_digits()
        raise OverLimit(f"a whole number of more than {most} digits") from None
    level = [content]
    for _ in range(limits.DEPTH):
        level = [inner for node in level for inner in _inside(node)]
        if not level:
            return content
    raise _too_deep()


def parse_yaml(text: str, loader: Any = LOADER) -> Any:
    """Parses YAML with a safe loader.

    Raises OverLimit if the values are nested more than limits.DEPTH levels deep, if they are more
    than limits.YAML_VALUES with every alias written out, if an alias lies inside its own anchor,
    and for a number of more than 1,000 characters. Raises YAMLError for other text, and ValueError
    for a date or a number that does not exist.
    """
    try:
        _check_yaml(text)
        return yaml.load(text, Loader=loader)
    except yaml.scanner.ScannerError as error:
        if "nesting" in str(error):  # libyaml's own limit, reached while it looks ahead
            raise _too_deep() from None
        raise
    except OverflowError as error:  # a float in base 60
        raise ValueError(str(error)) from None


def _at_most(file: Any, most: int, what: str) -> bytes:
    data: bytes = file.read(most + 1)
    if len(data) > most:
        raise OverLimit(f"{what}more than the {size_text(most)} that are read")
    return data


def _inside(node: Any) -> list[Any]:
    """Returns the lists and mappings directly inside a value."""
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [value for value in inner if isinstance(value, dict | list)]


def _too_deep() -> OverLimit:
    return OverLimit(f"nested more than {limits.DEPTH} levels deep")


def _check_yaml(text: str) -> None:
    """Raises OverLimit as `parse_yaml` does. Reads the events of the parser, so that nothing is
    built and nothing recurses."""
    anchors: dict[str, tuple[int, int]] = {}  # anchor -> (values, levels) below it
    within: list[tuple[str | None, int, int]] = [(None, 0, 0)]  # (anchor, values, levels) so far
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            within.append((event.anchor, 1, 1))
            if len(within) - 1 > limits.DEPTH:
                raise _too_deep()
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, values, levels = within.pop()
        elif isinstance(event, yaml.ScalarEvent):
            if LONG_NUMBER.fullmatch(event.value):
                raise OverLimit(f"a number of {len(event.value):,} characters")
            anchor, values, levels = event.anchor, 1, 0
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in (outer for outer, _, _ in within):
                raise OverLimit(f"the alias *{event.anchor} lies inside its own anchor")
            anchor, (values, levels) = None, anchors.get(event.anchor, (1, 0))
        else:
            continue
        if anchor is not None:
            anchors[anchor] = values, levels
        outer, before, deepest = within.pop()
        within.append((outer, before + values, max(deepest, levels + 1)))
        if len(within) + levels - 1 > limits.DEPTH:
            raise _too_deep()
        if within[-1][1] > limits.YAML_VALUES:
            raise OverLimit(f"more than {limits.YAML_VALUES:,} values, its aliases written out")
