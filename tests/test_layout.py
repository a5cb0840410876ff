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


def imports_at_the_top_only() -> list[Path]:
    """Returns the files in which imports of this package stand at the top."""
    inside = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    return sorted(
        place
        for place in inside
        if len(place.parts) > 1 and not place.as_posix().startswith(MAY_BE_LATE)
    )


def late_imports(source: str) -> Iterator[str]:
    """Yields the modules of this package that are imported inside functions."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from (a.name for a in node.names if a.name.startswith("jepa_lab"))
                elif isinstance(node, ast.ImportFrom):
                    module = "." * node.level + (node.module or "")
                    if module.startswith(("jepa_lab", ".")):
                        yield module


@pytest.mark.parametrize("place", imports_at_the_top_only(), ids=str)
def test_imports_inside_functions_are_only_where_start_up_time_matters(place: Path) -> None:
    assert not list(late_imports((PACKAGE / place).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "form",
    ["import jepa_lab.x", "from jepa_lab.x import y", "from . import y", "from ..x import y"],
)
def test_every_form_of_import_inside_a_function_is_found(form: str) -> None:
    assert list(late_imports(f"def f():\n    {form}\n"))
    assert not list(late_imports(f"{form}\n"))
    assert not list(late_imports("def f():\n    import torch\n"))


def test_the_package_has_only_the_listed_folders() -> None:
    folders = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/**/*.py")}
    assert folders == {
        "auxiliary",
        "callbacks",
        "claims",
        "cli",
        "config",
        "data",
        "diagnosis",
        "files",
        "ledger",
        "losses",
        "metrics",
        "monitor",
        "networks",
        "process",
        "ranks",
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
