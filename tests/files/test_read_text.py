"""YAML, JSON and gzip that are made to exhaust memory, time or the stack are refused early."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from jepa_lab.errors import UserError
from jepa_lab.files import limits
from jepa_lab.files.limits import OverLimit
from jepa_lab.files.text import parse_json, parse_yaml, read_text, unpack_gzip
from jepa_lab.ledger.read import read_if_possible, read_json, read_yaml, require_object


def laughs(levels: int, width: int = 9) -> str:
    """A document of about width**levels values, in a few hundred bytes."""
    lines = ["a0: &a0 [x, x]"]
    for i in range(1, levels):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (laughs(12), "more than 10,000 values, its aliases written out"),
        ("a: &a {k: 1, l: 2}\nb:\n" + "  - {<<: [*a, *a, *a]}\n" * 1000, "more than 10,000 values"),
        ("[" + "x," * 11_000 + "]", "more than 10,000 values"),
        ("a: &a [*a]", r"the alias \*a lies inside its own anchor"),
        ("- " * 60 + "x", "nested more than 50 levels deep"),
        ("[" * 5000 + "]" * 5000, "nested more than 50 levels deep"),
        # every line is flat, and the aliases nest
        (
            "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 60)),
            "50 levels",
        ),
        ("a: 1" + ":1" * 100_000, "a number of 200,001 characters"),
        ("a: !!int '1" + ":1" * 1000 + "'", "a number of 2,001 characters"),
    ],
)
def test_yaml_that_grows_when_it_is_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(OverLimit, match=message):
        parse_yaml(text)


@pytest.mark.parametrize("text", ["[" * 5000, '{"a":' * 60 + "1" + "}" * 60, "9" * 5000])
def test_json_that_is_nested_deeply_or_has_endless_digits_is_refused(text: str) -> None:
    with pytest.raises(OverLimit, match=r"50 levels|^a whole number of more than 4300 digits$"):
        parse_json(text)


def test_files_within_the_limits_are_read_as_before() -> None:
    text = "a: &x {k: [1, 2.5, null]}\nb: *x\nc: {<<: *x, l: yes}\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    fifty = "[" * 50 + "]" * 50
    assert parse_yaml(fifty) == parse_json(fifty)
    assert parse_json("3") == 3


@pytest.mark.parametrize("text", ["a: *b", "a: [", "!!python/object/apply:os.system [ls]"])
def test_a_wrong_document_stays_a_yaml_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)


def test_a_number_that_no_float_holds_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="too large"):
        parse_yaml("a: 1" + ":1" * 450 + ".0")


def test_a_huge_file_a_pipe_and_a_device_are_not_read(tmp_path: Path) -> None:
    huge, pipe = tmp_path / "config.yaml", tmp_path / "pipe"
    huge.touch()
    os.truncate(huge, 2**30)
    with pytest.raises(OverLimit, match="1,024 MB; at most 16 MB are read"):
        read_text(huge)
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OverLimit, match="a pipe or a device"):
            read_text(path)


def test_gzip_is_unpacked_up_to_a_limit() -> None:
    packed = gzip.compress(b"\0" * 10_000_000)
    assert len(packed) < 20_000
    with pytest.raises(OverLimit, match="unpacks to more than the 1 MB that are read"):
        unpack_gzip(packed, limits.MB)
    assert len(unpack_gzip(packed, 10 * limits.MB)) == 10_000_000


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [("config.yaml", laughs(12), read_yaml), ("summary.json", "[" * 5000, read_json)],
)
def test_a_bomb_in_a_runs_folder_is_one_line_that_names_the_file(
    name: str, text: str, read: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError, match=rf"^{path}: [^\n]*$"):
        read(path)
    with pytest.raises(ValueError, match=rf"^{name}: "):
        require_object(path)
    assert read_if_possible(path) == {}
