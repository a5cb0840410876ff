"""The circumstances of a run in words, and what a suggested command is for."""

import pytest

from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.report.next_commands import purpose
from jepa_lab.report.run_facts import run_facts

CONFIG = {"name": "b", "seed": 0, "dataset": {"name": "digits_rot"}}
SUMMARY = {
    "wall_s": 75.4,
    "parameters": {"trainable": 1009536, "frozen": 0, "action_projection": 64},
    "protocol": {"train_images": 1097, "val_images": 340, "test_images": 360},
}
STATUS = {
    "run_id": "0a1b",
    "started": "2026-12-01T03:51:53+00:00",
    "finished": None,
    "versions": {"torch": "2.9", "pytorch_lightning": None, "results_version": 2, "commit": "abc"},
}


def test_everything_that_is_known_is_a_fact() -> None:
    assert dict(run_facts(CONFIG, SUMMARY, STATUS, 2040)) == {
        "experiment": "b",
        "run": "0a1b",
        "seed": "0",
        "data": "digits_rot",
        "sizes": "1,097 training, 340 validation, 360 test images",
        "steps": "2,040",
        "parameters": "1,009,536 trainable (action projection 64)",
        "training time": "75 s",
        "started": "2026-12-01 03:51 UTC",
        "versions": "torch 2.9, results version 2",
        "commit": "abc",
    }


def test_what_is_not_known_is_left_out() -> None:
    assert run_facts({}, {}, {}, 5) == [("steps", "5")]


OWN = CommandLine(("+experiment=b", "seed=0"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (OWN.changed(["target=ema"]).text(), "Repeat the run with target=ema:"),
        (
            OWN.changed(["seed=0,1,2"]).text("-m"),
            "Repeat the run with seed=0,1,2 to see how far seeds differ:",
        ),
        (OWN.text(), "Resume the run:"),
        ("python -m jepa_lab.evaluate runs/b/0a1b", "Evaluate the frozen encoder:"),
        (
            "python -m jepa_lab.diagnose runs/b/0a1b --investigate",
            "Find which single change prevents the failure, by runs that branch off before it:",
        ),
    ],
)
def test_a_suggested_command_comes_with_its_purpose(command: str, words: str) -> None:
    assert purpose(command, OWN) == words
