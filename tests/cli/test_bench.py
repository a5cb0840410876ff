"""python -m jepa_lab.bench: scores of the built-in rules and of a user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench_tables import write_table
from jepa_lab.bench import main

RULES = """
def by_rank(history):
    return "failed" if history["val/z/effective_rank"][-1][1] < 2 else "healthy"

def silent(history):
    history.clear()
    return "unsure"

def broken(history):
    return 1 / 0

def leaving(history):
    raise SystemExit('not today')

def odd(history):
    return "helthy"

number = 3
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of runs, in a working directory with a module of rules."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench_rules_of_a_user.py").write_text(RULES)
    return write_table(tmp_path / "runs.parquet")


def own(name: str) -> str:
    return f"bench_rules_of_a_user:{name}"


def test_the_report_has_every_rule_every_split_and_the_undecided(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(table), "--rule", own("by_rank")])
    text = capsys.readouterr().out
    assert text.startswith("12 runs: 5 failed, 5 good, 2 undecided.")
    for split in ("data", "network", "method"):
        assert f"Leave one {split} out" in text
    for rule in ("verdict", "rankme", "lidar", "alpha_req", "feature_std", "published"):
        assert text.count(f"\n{rule} ") >= 4, rule
    line = next(x for x in text.splitlines() if x.startswith(own("by_rank")))
    assert "1 of 5 (3.6 to 62.4 %)  1 of 5 (3.6 to 62.4 %)" in line
    assert line.endswith("2 of 2")
    assert "Brier score" in text
    assert "Onset" in text


def test_scores_as_json_hold_the_counts_of_a_users_rule(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(table), "--rule", own("silent"), "--by", "network", "--json"])
    scores = json.loads(capsys.readouterr().out)
    counts = scores["rules"][own("silent")]["network"]["all"]
    assert (counts["unsure_good"], counts["unsure_failed"]) == (5, 5)
    assert counts["false_alarms"] == counts["misses"] == 0
    verdict = scores["rules"]["verdict"]["network"]["all"]
    assert (verdict["false_alarms"], verdict["misses"]) == (1, 1)
    assert list(scores["by"]) == ["network"]


def test_wrong_lists_the_runs_with_their_errors(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(table), "--wrong", "effective_rank", "--by", "data"])
    text = capsys.readouterr().out
    assert "Wrong by effective_rank: 2 runs" in text
    assert "false alarm: digits.low" in text
    assert "miss: shapes.high" in text


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        (["--rule", "bench_rules_of_a_user"], "expected module:function"),
        (["--rule", "bench_no_such_module:f"], "cannot import bench_no_such_module"),
        (["--rule", own("by_rnk")], "did you mean 'by_rank'?"),
        (["--rule", own("number")], "has no function 'number'"),
        (["--rule", own("broken")], "raised ZeroDivisionError: division by zero on run"),
        (["--rule", own("leaving")], "raised SystemExit: not today on run"),
        (["--rule", own("odd")], "returned 'helthy'"),
        (["--wrong", "rankm"], "did you mean 'rankme'?"),
        (["--by", "colour"], "invalid choice"),
    ],
)
def test_a_wrong_argument_gets_one_line_and_exit_code_2(
    argument: list[str], words: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(table), *argument])
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert words in error
    assert error.count("\n") == 1


def test_a_file_that_does_not_exist_gets_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path / "none.parquet")])
    assert end.value.code == 2
    assert "no such file" in capsys.readouterr().err
