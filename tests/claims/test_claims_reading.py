"""Files of claims: their format, and the line of each error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from claim_files import claim, write
from conftest import ROOT
from jepa_lab.claims import read_claims
from jepa_lab.errors import UserError

DOCUMENT = ROOT / "docs" / "claims.md"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrik": "x"}, "better_helps: metrik: no such key; did you mean 'metric'?"),
        ({"statement": None}, "better_helps: statement: missing"),
        ({"source": " "}, "better_helps: source: missing"),
        ({"id": None}, "claim 1: id: missing"),
        ({"metric": None}, "better_helps: metric: missing; e.g. test/probe/class_from_z_agg"),
        ({"contrast": None}, "better_helps: contrast: exactly one of contrast, statistic"),
        ({"statistic": {"name": "gap"}}, "better_helps: contrast: exactly one of"),
        ({"contrast": {"control": {"name": "a"}}}, "better_helps: contrast: arm missing"),
        ({"contrast": {"arm": "teacherless_b"}}, "contrast.arm: settings are needed"),
        ({"contrast": {"arm": {"seed": 1}}}, "contrast.arm: seed: seeds have their own key"),
        (
            {"where": {"aux": {"vicreg": {}}}},
            "where: aux: settings are written with dots, e.g. aux.vicreg: ...",
        ),
        (
            {"test": "ttest"},
            "better_helps: test: ttest: unknown; difference | non_inferiority | equivalence",
        ),
        ({"direction": "up"}, "better_helps: direction: up: unknown; above | below"),
        ({"margin": -0.1}, "better_helps: margin: -0.1: must be at least 0"),
        ({"margin": "wide"}, "better_helps: margin: wide: a finite number is needed"),
        ({"test": "equivalence"}, "better_helps: margin: 0: must be above 0 for equivalence"),
        ({"reference": 1}, "better_helps: reference: without effect beside a control"),
        ({"worst": float("nan")}, "better_helps: worst: nan: a finite number is needed"),
        ({"seeds": []}, "better_helps: seeds: []: one or more are needed, e.g. range(0,8)"),
        ({"seeds": "range(4,4)"}, "better_helps: seeds: []: one or more are needed"),
        (
            {"seeds": "range(0,1000000000)"},
            "better_helps: seeds: range(0,1000000000): more than 10,000 seeds",
        ),
        ({"seeds": [0, "one"]}, "better_helps: seeds: [0, 'one']: one or more are needed"),
        ({"runs": None}, "better_helps: runs: the command lines that make the runs are needed"),
        ({"family": 3}, "better_helps: family: 3: a text is needed"),
        ({"budget": 1020}, "better_helps: budget: 1020: a text is needed, e.g. 1,020 steps"),
        ({"over": "seed"}, "better_helps: over: seed: a list is needed"),
        ({"not_testable": "no data"}, "better_helps: contrast: without effect beside not_testable"),
        (
            {"contrast": None, "statistic": {"name": "gaps"}},
            "statistic: gaps: no such statistic; did you mean 'gap'?",
        ),
        (
            {"contrast": None, "statistic": {"name": "gap", "metric": "a"}},
            "statistic: less: missing; gap needs it",
        ),
        (
            {"contrast": None, "statistic": {"name": "change", "metric": "a", "tau": 1}},
            "statistic: tau: change has no such parameter; metric",
        ),
        (
            {"where": "quick"},
            "better_helps: where: settings are needed, e.g. {dataset.name: digits_rot",
        ),
        (
            {"runs": "-m 'seed=range(0,8)"},
            "runs: -m 'seed=range(0,8): no closing quotation; close it",
        ),
        (
            {"contrast": None, "statistic": {"name": "gap", "metric": 3, "less": "a"}},
            "metric: 3: a text is needed",
        ),
        (
            {
                "contrast": None,
                "statistic": {"name": "best_rate_over_tau", "metric": "a", "tau": 0},
            },
            "statistic: tau: 0: a number above 0 is needed",
        ),
        (
            {
                "contrast": None,
                "statistic": {
                    "name": "over_best_fixed",
                    "metrics": "a",
                    "rule": "b",
                    "c": 1,
                    "scale": "d",
                },
            },
            "statistic: metrics: a: a list of texts is needed",
        ),
        (
            {"contrast": None, "statistic": {"name": "first_to_fall", "part": "codebok"}},
            "part: codebok: unknown; codebook",
        ),
        (
            {"contrast": None, "statistic": {"name": "edge_over_bound"}, "worst": 0},
            "worst: 0: must be above 0, since the statistic is a factor",
        ),
        (
            {
                "contrast": None,
                "statistic": {"name": "edge_over_bound"},
                "test": "equivalence",
                "margin": 0.5,
            },
            "margin: 0.5: must be a factor above 1",
        ),
        (
            {"contrast": None, "statistic": {"name": "edge_over_bound"}, "reference": 0},
            "reference: 0: must be above 0, since the statistic is a factor",
        ),
    ],
)
def test_an_error_is_one_line_with_file_claim_key_and_a_correction(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "mine.yaml", claim(**changes))
    with pytest.raises(UserError) as error:
        read_claims([path])
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claims: [", "not valid YAML"),
        ("- id: a", "key claims: a list of claims is needed"),
        ("claims: []", "key claims: a list of claims is needed"),
        ("claims: [a]", "claim 1: a mapping is needed"),
        ("clams: []\nclaims: [{}]", "clams: no such key; did you mean 'claims'?"),
        ("defaults: {id: x}\nclaims: [{}]", "defaults: id: no such key"),
        ("defaults: {where: a}\nclaims: [{id: x}]", "where: settings are needed"),
        ("claims:\n- id: a\n  margin: 0.1\n  margin: 0.5\n", "margin is given twice in"),
    ],
)
def test_a_file_without_claims_is_one_line_of_error(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(message)) as error:
        read_claims([path])
    assert str(error.value).startswith(str(path))


def test_a_repeated_id_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="better_helps: id: given twice"):
        read_claims([write(tmp_path / "mine.yaml", claim(), claim())])


def test_an_unknown_file_is_an_error_with_the_shipped_files() -> None:
    with pytest.raises(
        UserError, match=r"teacherles: no such file of claims; did you mean 'teacherless'"
    ):
        read_claims(["teacherles"])


def test_a_claim_overrides_the_defaults_of_its_file(tmp_path: Path) -> None:
    defaults = {
        "where": {"tier.name": "quick", "dataset": "digits_rot"},
        "seeds": [1, 2, 3],
        "margin": 0.1,
    }
    own = claim(where={"tier.name": "smoke"}, seeds=None, margin=0.2)
    (found,) = read_claims([write(tmp_path / "mine.yaml", own, defaults=defaults)])
    assert found.where == {"tier.name": "smoke", "dataset": "digits_rot"}
    assert (found.seeds, found.margin) == ((1, 2, 3), 0.2)
    arm, control = found.sides()
    assert arm == ("arm", {"tier.name": "smoke", "dataset": "digits_rot", "name": "better"})
    assert control[1]["name"] == "plain"


def test_the_example_in_the_document_is_a_valid_claim(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    path = tmp_path / "my_claims.yaml"
    path.write_text(text)
    (found,) = read_claims([path])
    assert (found.id, found.margin, found.seeds) == ("rate_helps", 0.02, tuple(range(8)))
    assert len(text.splitlines()) <= 13
