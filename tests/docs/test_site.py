"""The site: every page is in the navigation, every status has its page, and the site builds without
a warning and fetches nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from doc_pages import PAGES, README, ROOT
from house_picture import picture, table
from jepa_lab import __version__
from jepa_lab.config.statuses import STATUSES
from jepa_lab.report.collapse_bench.rules import verdict_of
from jepa_lab.report.collapse_bench.runs import SHIPPED, load_runs
from verdict_cases import CASES
from verdict_figures import made_by

CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
SECTIONS = ("A real case", "What it is not", "What repaired it in our runs", "What to try")


def leaves(nav: Any) -> list[str]:
    """Returns the files of a navigation."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [leaf for part in parts for leaf in leaves(part)]


def test_every_page_is_in_the_navigation_once() -> None:
    files = leaves(yaml.safe_load(CONFIG)["nav"])
    assert sorted(files) == sorted(
        page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")
    )


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_a_page_with_every_section(status: str) -> None:
    page = PAGES[f"docs/verdicts/{status}.md"]
    assert page.startswith(f"# {status}\n")
    places = [page.index(f"\n## {section}\n") for section in SECTIONS]
    assert places == sorted(places)
    assert f"[`{status}`]({status}.md)" in PAGES["docs/verdicts/index.md"]


def test_the_verdicts_on_the_pages_are_those_of_today() -> None:
    runs = {run.name: run for run in load_runs(SHIPPED)}
    for case in CASES:
        page = PAGES[f"docs/verdicts/{case.status}.md"]
        assert f"images/verdicts/{case.status}.png" in page
        for name in filter(None, (case.run, case.beside)):
            if name in runs:
                assert f"\n{verdict_of(runs[name]).line()}\n" in page, name
                assert f"--only {name}" in page
            else:
                assert all(line in page for line in made_by(name).splitlines()), name
                assert f"```\n{case.status} since" in page or name == case.beside
        if case.run in runs and case.went_through:
            assert f"before it, {case.status} since" in verdict_of(runs[case.run]).line()
        elif case.run in runs:
            assert verdict_of(runs[case.run]).status == case.status


def test_the_error_rates_of_the_readme_are_those_of_the_benchmark() -> None:
    bench = PAGES["docs/collapse_bench.md"]
    rows = {
        "verdict": "the verdict, given views",
        "rules alone": "the verdict without views",
        "rankme": "RankMe, the best single metric",
    }
    for name, row in rows.items():
        rates = re.search(
            rf"^\| `{name}` \| ([^|]*) \| ([^|]*) \| [^|]* \| (\d+) / (\d+)", bench, re.M
        )
        assert rates is not None
        assert f"| {row} | {rates[1]} | {rates[2]} |" in README
        open_runs = int(rates[3]) + int(rates[4])
        if open_runs:
            assert f"| {open_runs} of 690 ({100 * open_runs / 690:.0f} %) |" in README


def test_the_readme_is_short_and_no_line_is_long() -> None:
    lines = README.splitlines()
    assert len(lines) <= 140
    assert max(map(len, lines)) <= 120


def test_the_house_on_its_page_is_that_of_the_contract() -> None:
    assert (ROOT / "docs" / "images" / "house.svg").read_text(encoding="utf-8") == picture()
    assert table() in PAGES["docs/house.md"]


def test_the_version_is_the_same_wherever_it_stands() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"]' in project
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == __version__
    assert f"\n## {__version__}\n" in PAGES["CHANGELOG.md"]


def test_every_file_that_a_page_includes_is_there() -> None:
    marks = [line for page in PAGES.values() for line in re.findall(r"^ *--8.*$", page, re.M)]
    named = [re.fullmatch(r'--8<-- "([^"]+)"', mark.strip()) for mark in marks]
    assert len(marks) > 5
    assert all(name and (ROOT / name[1]).is_file() for name in named), marks


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed (the extra docs)")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = {path: path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")}
    assert len(pages) > 50
    loaded = r'<(?:script|link|img|iframe)[^>]*(?:src|href)="?(https?:|//)'
    assert not [str(path) for path, text in pages.items() if re.search(loaded, text)]
    search = (tmp_path / "search" / "search_index.js").read_text(encoding="utf-8")
    assert "dimensional_collapse" in search
