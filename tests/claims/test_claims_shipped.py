"""The shipped claims: they are valid, their settings exist, and their commands compose."""

from __future__ import annotations

import re
import shlex

import pytest
from hydra import compose, initialize_config_dir

from conftest import ROOT
from jepa_lab.claims import Claim, judge_claims, read_claims
from jepa_lab.claims.reading import shipped
from jepa_lab.claims.statistics import statistics
from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
from jepa_lab.config.groups import conf_dir
from jepa_lab.sweep.ladder import checked_rungs

CLAIMS = read_claims()
TESTABLE = [claim for claim in CLAIMS if claim.not_testable is None]
COMMANDS = sorted(
    {re.sub(r" ?'?seeds?=\S+", "", line) for claim in TESTABLE for line in claim.runs}
)


def test_each_study_has_at_least_ten_testable_claims() -> None:
    assert [path.stem for path in shipped()] == ["arc", "aux_losses", "linear_byol", "teacherless"]
    for path in shipped():
        assert sum(claim.file == path.stem for claim in TESTABLE) >= 10


def test_without_runs_no_claim_is_testable() -> None:
    for verdict in judge_claims(CLAIMS, []):
        assert verdict.word == "not testable"
        assert verdict.claim.not_testable or verdict.reason.startswith("not yet: ")


def test_every_statistic_is_used() -> None:
    assert {claim.statistic for claim in TESTABLE} - {None} == set(statistics())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_a_claim_composes(command: str) -> None:
    overrides = [_first(override) for override in shlex.split(command) if override != "-m"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        assert checked_rungs(compose("config", [*overrides, *_seed(command)]))[0].name


@pytest.mark.parametrize("claim", TESTABLE, ids=lambda claim: f"{claim.file}-{claim.id}")
def test_the_commands_of_a_claim_name_its_seeds_and_experiments(claim: Claim) -> None:
    text = " ".join(claim.runs)
    for _, settings in claim.sides():
        assert str(settings["name"]) in text
    if not text.startswith("-m +experiment=aux_comparison"):  # its file has the seeds
        last = claim.seeds[-1]
        assert re.search(
            rf"\b{last}\b|range\(0,{last + 1}\)", " ".join(re.findall(r"seeds?=\S+", text))
        )


@pytest.mark.parametrize("page", ["teacherless", "linear_byol", "arc", "aux_losses"])
def test_each_result_page_has_a_row_for_each_of_its_claims(page: str) -> None:
    path = ROOT / "docs" / "results" / f"{page}.md"
    if page == "aux_losses" and not path.is_file():
        pytest.skip("the page is written when its runs are there")
    document = path.read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- claims -->\n(.*?)<!-- end -->", document, re.S)
    for claim in CLAIMS:
        if claim.file == page:
            assert f"| {claim.statement} | {claim.source} |" in block


def _first(override: str) -> str:
    key, _, values = override.partition("=")
    return override if values.startswith("[") else f"{key}={values.split(',')[0]}"


def _seed(command: str) -> list[str]:
    return [] if "linear_byol" in command else ["seed=0"]
