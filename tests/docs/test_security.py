"""SECURITY.md names the limits that the code has."""

from __future__ import annotations

from conftest import ROOT
from jepa_lab.files import limits

PAGE = " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").split())


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    gib = 2**30
    for text in (
        f"{limits.TEXT_BYTES // limits.MB} MB, {limits.DEPTH} levels",
        f"{limits.YAML_VALUES:,} values with every alias",
        f"{limits.TASK_BYTES // limits.MB} MB unpacked, {limits.DEPTH} levels",
        f"{limits.ARRAY_BYTES // gib} GB in memory; above {limits.UNPACKED_BYTES // limits.MB} MB",
        f"at most {limits.UNPACKED_RATIO} times",
        f"{limits.PIXELS:,} pixels",
        f"{limits.TABLE_ROWS:,} rows and {limits.TABLE_BYTES // gib} GB",
    ):
        assert text in PAGE, text


def test_the_page_says_how_to_report_a_problem_without_an_address() -> None:
    assert "ask for a private channel" in PAGE
    assert "@" not in PAGE
