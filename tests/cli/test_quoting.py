"""A value that Hydra's grammar cannot read as text: one line, whose proposal works."""

from __future__ import annotations

import shlex

import pytest

from jepa_lab.cli.compose import composed
from jepa_lab.cli.overrides import overrides_for_hydra
from jepa_lab.errors import UserError

BASE = ["+experiment=teacherless_b", "dataset=npz"]
STRANGE = [
    "/a/epoch=9-step=880.npz",
    "/a/views (1).npz",
    "/a/x[1].npz",
    "[a].npz",
    "{a}.npz",
    "/a/{a}.npz",
    "run(2).npz",
    "/a/x,y.npz",
    "/a/it's.npz",
    '/a/"a".npz',
    "/a/läufe/ü (1).npz",
    "/a/a;b#c!d&e.npz",
]
PLAIN = ["/a/b c.npz", "/a/a:b.npz", "/a/a%b@c+d-e.npz", "a\\b.npz", "007", "../x_y.npz"]


def path_of(override: str) -> object:
    return composed(overrides_for_hydra([*BASE, override])).dataset.path


@pytest.mark.parametrize("path", STRANGE)
def test_a_strange_path_gets_a_proposal_that_works(path: str) -> None:
    with pytest.raises(UserError, match="quote the value, as in ") as error:
        path_of(f"dataset.path={path}")
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith(f"dataset.path={path}: ")
    (word,) = shlex.split(line.split("quote the value, as in ", 1)[1])
    assert path_of(word) == path


@pytest.mark.parametrize("path", PLAIN)
def test_a_plain_path_needs_no_quotes(path: str) -> None:
    assert path_of(f"dataset.path={path}") == path


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=0,1", "several values, which need -m"),
        ("dataset.path=~/x.npz", r"give the whole path, as in dataset.path=\$HOME/x.npz"),
        ("seed=[0,1", "close every bracket, or quote the value"),
    ],
)
def test_other_values_that_cannot_be_read_say_what_would_be(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        path_of(override)


def test_an_override_that_quotes_do_not_mend_keeps_the_words_of_the_parser() -> None:
    with pytest.raises(UserError) as error:
        path_of("dataset path=x")
    assert "quote" not in str(error.value)
