"""python -m jepa_lab.claims: judging, listing, filling pages, writing, and running missing runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from claim_files import claim, write
from comparison_runs import METRIC, make_run
from jepa_lab.claims import judge_claims, missing, read_claims
from jepa_lab.claims.__main__ import main
from jepa_lab.claims.documents import fill
from jepa_lab.claims.missing import makers


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in range(6):
        make_run(tmp_path / "runs", "plain", seed, 0.80 + 0.01 * seed)
        make_run(tmp_path / "runs", "better", seed, 0.90 + 0.011 * seed)
    return tmp_path / "runs"


def untestable() -> dict[str, Any]:
    return {
        "id": "no_data",
        "statement": "All | is well",
        "source": "a test",
        "not_testable": "no data",
    }


def test_judging_prints_verdicts_and_missing_runs_and_runs_nothing(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing, "run_child", lambda command: pytest.fail("ran something"))
    path = write(
        tmp_path / "mine.yaml", claim(), claim(id="more", seeds="range(0,8)"), untestable()
    )
    main([str(path), "--judge", "--runs-dir", str(runs)])
    out = capsys.readouterr().out
    assert "confirmed    mine: better_helps: better is better" in out
    assert "class z_agg on test +0.10" in out
    assert "not yet: 2 of 8 pairs missing" in out
    assert "3 claims: 1 confirmed, 2 not testable." in out
    # the runs took 10 to 15 s each
    assert "missing: 4 runs of 1 command, about 50 s by the time of similar runs" in out


def test_verdicts_are_written_as_strict_json_and_as_markdown(runs: Path, tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.yaml",
        claim(budget="1,020  steps"),
        claim(id="same_without_spread", contrast={"arm": {"name": "plain"}}),
        untestable(),
    )
    for name in ("claims.json", "claims.md"):
        main([str(path), "--judge", "--runs-dir", str(runs), "--out", str(tmp_path / "out" / name)])
    content = json.loads(
        (tmp_path / "out" / "claims.json").read_text(),
        parse_constant=lambda text: pytest.fail(text),
    )
    first, second, last = content["claims"]
    assert (first["budget"], second["budget"]) == ("1,020 steps", None)
    assert (first["verdict"], first["n"], last["verdict"]) == ("confirmed", 6, "not testable")
    assert first["values"]["arm"]["5"] == pytest.approx(0.955)
    assert first["effect"] == pytest.approx(0.1025)
    assert last["effect"] is None
    page = (tmp_path / "out" / "claims.md").read_text()
    assert "## mine" in page
    assert "| better is better | a test | 1,020 steps | confirmed |" in page
    assert "| All \\| is well | a test |  | not testable | no data |" in page


def test_fill_replaces_only_the_text_between_the_marks(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "mine.md").write_text("# Mine\n\n<!-- claims -->\nold\n<!-- end -->\n\nafter\n")
    mine, other = write(tmp_path / "mine.yaml", claim()), write(tmp_path / "other.yaml", claim())
    main([str(mine), str(other), "--judge", "--runs-dir", str(runs), "--fill", str(pages)])
    text = (pages / "mine.md").read_text()
    assert text.startswith(
        "# Mine\n\n<!-- claims -->\n\n| claim | of | at | verdict | evidence |\n"
    )
    assert text.endswith("1 claim: 1 confirmed.\n\n<!-- end -->\n\nafter\n")
    assert "old" not in text
    assert "other.md: no such page" in capsys.readouterr().out
    assert fill(text, "claims", "x") == "# Mine\n\n<!-- claims -->\n\nx\n\n<!-- end -->\n\nafter\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.yaml"], "nowhere.yaml: no such file of claims"),
        (["{mine}", "--out", "claims.txt"], "--out claims.txt: must end in .md or .json"),
        (["{mine}", "--judge", "--runs-dir", "{tmp}/none"], "none: no such folder"),
        (
            ["{mine}", "--judge", "--runs-dir", "{runs}", "--out", "{tmp}/mine.md/x.md"],
            "mine.md: cannot be written: ",
        ),
        (["{mine}", "--fill"], "--fill: expected one argument"),
        (["{mine}", "--fill", "{tmp}/none"], "none: no such folder"),
        (["{mine}", "--list", "--out", "{tmp}/x.md"], "--list only prints"),
        (["{mine}", "--jud"], "unrecognized arguments: --jud"),
        (
            ["{mine}", "--judge", "--runs-dir", "{runs}", "--fill", "{tmp}"],
            "mine.md: the document has no mark",
        ),
        (
            ["{wrong}", "--judge", "--runs-dir", "{runs}"],
            "wrong: better_helps: metric: test/x: none of the 6 runs",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    places = {
        "mine": write(tmp_path / "mine.yaml", claim()),
        "tmp": tmp_path,
        "runs": runs,
        "wrong": write(tmp_path / "wrong.yaml", claim(metric="test/x")),
    }
    (tmp_path / "mine.md").write_text("no mark")
    with pytest.raises(SystemExit) as ended:
        main([argument.format(**places) for argument in arguments])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def pretend(tmp_path: Path, code: int = 0) -> tuple[list[Sequence[str]], Callable[..., Any]]:
    """Returns the recorded calls of run_child, and its stand-in, which makes the runs of seeds 6
    and 7."""
    called: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> int:
        called.append(command)
        for seed in (6, 7):
            make_run(tmp_path / "runs", "plain", seed, 0.8)
            make_run(tmp_path / "runs", "better", seed, 0.9)
        return code

    return called, run


def test_each_command_with_missing_runs_is_run_once_before_judging(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called, run = pretend(tmp_path)
    monkeypatch.setattr(missing, "run_child", run)
    line = "-m 'seed=range(0,8)' +experiment=plain,better"
    there = claim(id="there", runs="+experiment=never_run")
    path = write(
        tmp_path / "mine.yaml",
        claim(seeds="range(0,8)", runs=line),
        claim(id="again", seeds="range(0,8)", runs=line, margin=0.05),
        there,
    )
    main([str(path), "--runs-dir", str(runs)])
    assert [list(command[1:]) for command in called] == [
        ["-m", "jepa_lab", "-m", "seed=range(0,8)", "+experiment=plain,better", f"runs_dir={runs}"]
    ]
    out = capsys.readouterr().out
    assert "missing: 4 runs of 1 command" in out
    assert "3 claims: 3 confirmed." in out
    main([str(path), "--runs-dir", str(runs)])
    assert len(called) == 1  # nothing is missing any more


def test_a_failed_command_is_reported_and_the_claims_are_judged(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = pretend(tmp_path, code=1)
    monkeypatch.setattr(missing, "run_child", run)
    path = write(tmp_path / "mine.yaml", claim(seeds="range(0,8)", runs="+experiment=a"))
    with pytest.raises(SystemExit) as ended:
        main([str(path), "--runs-dir", str(runs)])
    assert ended.value.code == 1
    captured = capsys.readouterr()
    assert captured.err == "jepa_lab: failed: +experiment=a\n"
    assert "1 claim: 1 confirmed." in captured.out


def test_list_without_runs_prints_every_claim_and_its_missing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "mine.yaml", claim(margin=0.02), untestable())
    main([str(path), "--list", "--runs-dir", str(tmp_path / "none")])
    out = capsys.readouterr().out
    assert (
        "mine: better_helps: better is better\n    class z_agg on test above 0.02, 6 seeds" in out
    )
    assert "mine: no_data: All | is well\n    no data" in out
    assert (
        "missing: 12 runs of 1 command\n  12 runs: python -m jepa_lab -m +experiment=teacherless_b"
        " seed=0,1" in out
    )


def test_a_command_makes_the_runs_that_its_overrides_name_and_do_not_contradict() -> None:
    base, swept, other = (
        "-m +experiment=a seed=0,1",
        "+experiment=a loss.sigreg.weight=0,0.5",
        "+experiment=b",
    )
    lines = [base, swept, other]
    assert makers(lines, {"name": "a", "loss.sigreg.weight": 0.1}) == [base]
    assert makers(lines, {"name": "a", "loss.sigreg.weight": 0.5}) == [swept]
    assert makers(lines, {"name": "b"}) == [other]
    assert makers(
        ["target=ema +experiment=a", "target=shared +experiment=a"], {"target.name": "ema"}
    ) == ["target=ema +experiment=a"]
    assert makers(lines, {"name": "c"}) == lines


def test_the_difference_is_computed_from_the_values_of_the_runs(runs: Path, tmp_path: Path) -> None:
    from jepa_lab.report.comparison.find_runs import find_runs

    (found,) = judge_claims(
        read_claims([write(tmp_path / "mine.yaml", claim())]), find_runs(runs).runs
    )
    differences = [0.1 + 0.001 * seed for seed in range(6)]
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(math.fsum(differences) / 6)
    assert found.claim.metric == METRIC
