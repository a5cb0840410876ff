"""The layout of the package: its folders, the files of every study, and the places of imports
inside functions.

The allowed imports between folders are the contract in pyproject.toml, which `make lint` checks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jepa_lab

PACKAGE = Path(jepa_lab.__file__).parent
STUDIES = ("arc", "linear_byol", "seq_jepa")
SHARED_FILES = {
    "__init__",
    "config",
    "diagnosis",
    "module",
    "monitor",
    "outcome",
    "resume",
    "study",
}
# Imports inside functions are allowed for a fast start: in entry points, the command line and the
# plugins that Hydra imports at every start, and for names that a package imports on first use.
MAY_BE_LATE = ("cli/", "claims/__main__.py", "report/__main__.py", "diagnosis/__init__.py")


def sources() -> list[Path]:
    return sorted([*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "hydra_plugins").glob("*.py")])


def late_imports(path: Path) -> Iterator[ast.ImportFrom]:
    """Yields the imports of this package inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("jepa_lab"):
                    yield node


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_imports_inside_functions_are_only_where_start_up_time_matters(path: Path) -> None:
    place = str(path.relative_to(PACKAGE.parent))
    inside = place.removeprefix("jepa_lab/")
    may = place.startswith("hydra_plugins/") or "/" not in inside or inside.startswith(MAY_BE_LATE)
    assert may or not list(late_imports(path)), (
        f"{place}: {[node.module for node in late_imports(path)]}"
    )


def test_the_package_has_only_the_listed_folders() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == {
        "auxiliary",
        "callbacks",
        "claims",
        "cli",
        "config",
        "data",
        "diagnosis",
        "ledger",
        "losses",
        "metrics",
        "networks",
        "process",
        "report",
        "studies",
        "sweep",
        "training",
    }


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_the_same_files(study: str) -> None:
    files = {path.stem for path in (PACKAGE / "studies" / study).glob("*.py")}
    assert files >= SHARED_FILES


def test_entry_points_are_short() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in PACKAGE.glob("*.py")}
    assert {name for name, lines in lengths.items() if lines > 70} == set()


def test_no_file_has_more_than_300_lines() -> None:
    lengths = {
        str(p.relative_to(PACKAGE)): len(p.read_text().splitlines()) for p in PACKAGE.rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > 300} == {}
