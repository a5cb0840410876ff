"""The planted faults are valid experiments, and each has the key that is to blame."""

from __future__ import annotations

import json
import runpy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from jepa_lab.cli.compose import checked
from jepa_lab.config.tree import value_of

FOLDER = Path(__file__).resolve().parents[2] / "studies_docs" / "planted_faults"
SCRIPT = runpy.run_path(str(FOLDER / "__main__.py"))
FAULTS = SCRIPT["FAULTS"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_an_experiment_that_has_the_guilty_key(fault: Any) -> None:
    config = asdict(checked([f"+experiment={fault.name}"], str(FOLDER)))
    assert config["name"] == f"fault_{fault.name}"
    for key in fault.guilty:
        assert value_of(config, key) is not None


def test_every_experiment_of_the_folder_is_listed() -> None:
    assert {path.stem for path in FOLDER.glob("experiment/*.yaml")} == {f.name for f in FAULTS}
    assert sum(bool(fault.guilty) for fault in FAULTS) == 10


@pytest.mark.parametrize(
    ("first", "right"), [("loss.lambda_rate=0.003", "yes"), ("optim.lr=0.001", "no")]
)
def test_a_fault_is_named_if_the_first_repair_changes_the_guilty_key(
    first: str, right: str, tmp_path: Path
) -> None:
    verdict = {"status": "unstable", "since_step": 40}
    (tmp_path / "summary.json").write_text(json.dumps({"verdict": verdict}))
    (tmp_path / "investigation_seconds.json").write_text("90")
    trials = [
        {"overrides": [first], "effect": "prevented", "n": 6},
        {"overrides": ["target=ema"], "effect": "unaffected", "n": 3},
    ]
    content = {"trials": trials, "recommended": [first], "stopped": ""}
    (tmp_path / "investigation.json").write_text(json.dumps(content))
    rate = next(fault for fault in FAULTS if fault.name == "rate")
    row = SCRIPT["_row"](rate, tmp_path)
    assert row[1:] == ["unstable since step 40", f"`{first}`", f"`{first}`", "9", "2", right]
