"""How messages and documents say that extras are installed, and the versions that are taken."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from jepa_lab.errors import to_install

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "conf", "claims", "docs", "notebooks", "examples", "benchmarks", "studies_docs")
ENDINGS = {".py", ".yaml", ".md", ".ipynb", ".jinja", ".html"}
BY_NAME = re.compile(r"""\b(?:install|add)\s+(?:-\S+\s+)*\\?["']?jepa[-_]lab\b(?!-\d)""")
NAMED = re.compile(r"""to_install\(["'](\w+)["']\)|["']\.\[(\w+)\]["']""")


def texts() -> dict[Path, str]:
    """Returns the content of every file that a user reads or that prints."""
    inside = [p for folder in FOLDERS for p in (ROOT / folder).rglob("*") if p.suffix in ENDINGS]
    paths = [*inside, ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "Makefile"]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def test_nothing_says_to_install_jepa_lab_by_its_name_which_anybody_could_register() -> None:
    assert [path for path, text in texts().items() if BY_NAME.search(text)] == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('pip install "jepa-lab[joblib]"', True),
        ("pip install -U jepa_lab", True),
        (r"pip install \"jepa-lab[joblib]\"", True),
        ("uv add 'jepa-lab'", True),
        ('pip install -e ".[joblib]" in a checkout of jepa-lab', False),
        ('pip install "jepa_lab-0.1.0-py3-none-any.whl[joblib]"', False),
        ("pip install hydra-optuna-sweeper", False),
    ],
)
def test_an_installation_by_name_is_found(line: str, found: bool) -> None:
    assert bool(BY_NAME.search(line)) == found


def project() -> dict[str, Any]:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert isinstance(content, dict)
    return content


def test_every_extra_that_a_message_or_a_page_names_exists() -> None:
    named = {
        extra
        for text in texts().values()
        for pair in NAMED.findall(text)
        for extra in pair
        if extra
    }
    assert {"joblib", "optuna", "tensorboard"} <= named <= set(project()["optional-dependencies"])


def test_a_message_names_both_ways_to_install_an_extra() -> None:
    assert 'pip install -e ".[joblib]"' in to_install("joblib")
    assert 'pip install "FILE.whl[joblib]"' in to_install("joblib")


def test_hydra_without_the_parameter_version_base_is_not_installed() -> None:
    hydra = next(r for r in map(Requirement, project()["dependencies"]) if r.name == "hydra-core")
    assert hydra.specifier.contains("1.4.0")
    assert not hydra.specifier.contains("1.5.0")
    assert not hydra.specifier.contains("1.5.0rc1", prereleases=True)


def test_the_try_of_prereleases_ends_with_one_line_and_is_no_part_of_ci() -> None:
    env = {**os.environ, "VENV": "nowhere"}
    done = subprocess.run(
        [ROOT / ".ci" / "prerelease"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert (
        done.stdout
        == "prerelease: no venv can be made with nowhere/bin/python; run make setup first\n"
    )
    assert "prerelease" not in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
