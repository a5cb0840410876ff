"""`diagnose --investigate`: trials are runs, reports are written, and a limit or a
kill loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import compose_checked, small_overrides
from jepa_lab.diagnose import main as diagnose
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.inquiry import Inquiry
from jepa_lab.diagnosis.trials import CONTROL, Candidate, Result, Trial
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.read import read_yaml
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.report.investigation import content_of, markdown, sentence, table
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa import candidates as of_seq_jepa
from jepa_lab.studies.seq_jepa.candidates import candidates
from jepa_lab.studies.seq_jepa.study import STUDY
from jepa_lab.training.counterfactual import _result
from jepa_lab.training.replay import onset_to_the_step, replayed

CURE, OTHER = Candidate(("optim.lr=0.001",), "the rate is 3"), Candidate(("optim.clip=1.0",))


def ended(*args: str) -> int:
    try:
        diagnose(list(args))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that collapses within a few steps, by a learning rate far too large."""
    folder = tmp_path_factory.mktemp("failed")
    extra = ["optim.lr=3.0", "optim.clip=null", "dataset.epochs=6", "figures=never"]
    line = small_overrides(folder, *extra, experiment="seq_jepa_shared")
    result = train(compose_checked(line), command_line=CommandLine(tuple(line)))
    assert result.verdict["status"] not in ("healthy", "inconclusive", "too_short")
    return result.run_dir


@pytest.fixture(autouse=True)
def _few_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_seq_jepa, "candidates", lambda *_: [CURE, OTHER])


def content(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "investigation.json").read_text())
    return loaded


def test_an_investigation_makes_its_runs_writes_its_reports_and_goes_on(
    failed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(str(failed), "--investigate", "--seeds", "1", "--max-runs", "1") == 1
    first = capsys.readouterr().out
    assert "not finished: --max-runs 1 reached; the same command goes on" in first
    assert content(failed)["finished"] is False

    ended(str(failed), "--investigate", "--seeds", "1")
    again = capsys.readouterr().out
    found = content(failed)
    assert found["finished"]
    assert found["stopped"] == ""
    runs = [run for trial in found["trials"] for run in trial["runs"]]
    assert str(failed) in runs  # the run itself is the unchanged trial from the start
    for run in map(Path, runs):
        assert run.parent == failed.parent
        if run != failed:
            assert not (run / "report.html").exists()
    trained = [line for line in first.splitlines() if ", draw 0: " in line]
    assert set(trained) <= set(again.splitlines())
    for kind in ("md", "html", "json"):
        assert (failed / f"investigation.{kind}").stat().st_size > 200
    before = {run: (Path(run) / "summary.json").stat().st_mtime_ns for run in runs}
    ended(str(failed), "--investigate", "--seeds", "1")
    assert {run: (Path(run) / "summary.json").stat().st_mtime_ns for run in runs} == before


def test_the_diagnosis_of_a_failure_names_the_investigation(
    failed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(str(failed)) == 0
    assert f"python -m jepa_lab.diagnose {failed} --investigate" in capsys.readouterr().out


def test_a_run_that_did_not_fail_has_nothing_to_explain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = small_overrides(tmp_path)
    run = train(compose_checked(line), command_line=CommandLine(tuple(line))).run_dir
    summary = json.loads((run / "summary.json").read_text())
    summary["verdict"]["status"] = "healthy"
    (run / "summary.json").write_text(json.dumps(summary))
    assert ended(str(run), "--investigate") == 0
    assert "nothing to explain: the verdict is healthy" in capsys.readouterr().out
    assert not list(run.glob("investigation*"))


def without_a_line(run: Path) -> None:
    """Makes a failed run that has no command line."""
    summary = json.loads((run / "summary.json").read_text())
    summary["verdict"]["status"] = "unstable"
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "overrides.yaml").unlink()


@pytest.mark.parametrize(
    ("break_it", "line"),
    [
        (without_a_line, "no overrides.yaml"),
        (lambda run: (run / "summary.json").unlink(), "no run that ended with a verdict"),
    ],
)
def test_a_folder_that_cannot_be_investigated_gets_one_line(
    break_it: Callable[[Path], None], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = small_overrides(tmp_path)
    run = train(compose_checked(overrides), command_line=CommandLine(tuple(overrides))).run_dir
    break_it(run)
    assert ended(str(run), "--investigate") == 2
    assert line in capsys.readouterr().err


def inquiry_of(results: dict[tuple[Candidate, int, int], Result], states: list[int]) -> Inquiry:
    inquiry = Inquiry(100, [CURE, OTHER], states)
    asking = inquiry.pursue()
    try:
        trial: Trial = next(asking)
        while True:
            found = results.get((trial.candidate, trial.start, trial.draw), Result(100, 0.1, 0.2))
            trial = asking.send(found)
    except StopIteration:
        return inquiry


def test_the_sentence_names_the_repair_its_counts_and_what_has_no_effect() -> None:
    good = Result(None, 0.6, 0.9)
    cured = {(CURE, start, draw): good for start in (0, 80) for draw in range(6)}
    text = sentence(inquiry_of(cured, [40, 80]), "complete_collapse")
    assert text.startswith("The failure (complete_collapse) at step 100 is prevented by")
    assert "optim.lr=0.001 (6 of 6) and optim.lr=0.001 from the start (6 of 6)" in text
    assert "not touched by optim.clip=1.0" in text
    assert text.endswith("Cheapest repair that keeps skill and probe: optim.lr=0.001.")


def test_the_sentence_names_the_point_of_no_return_and_a_repair_that_has_not_learned() -> None:
    saved = Result(None, -0.5, 0.9)
    cured = {(CURE, start, draw): saved for start in (0, 40) for draw in range(6)}
    inquiry = inquiry_of(cured, [40, 60, 80])
    text = sentence(inquiry, "complete_collapse")
    assert "The latest state from which optim.lr=0.001 still helps is step 40." in text
    assert "(skill -0.50: the prediction has not learned yet)" in text


def test_the_sentence_says_that_the_draw_decides() -> None:
    fine = {(CONTROL, 0, draw): Result(None) for draw in range(1, 6)}
    text = sentence(inquiry_of(fine, []), "unstable")
    assert "depends on the draw: 5 of 6 unchanged runs do not fail" in text


def test_the_table_has_a_row_for_every_change_and_start(tmp_path: Path) -> None:
    inquiry = inquiry_of({}, [80])
    found = content_of(inquiry, tmp_path, "unstable", None)
    rows = table(found)
    assert [row[:2] for row in rows if row[0] == "unchanged"] == [
        ["unchanged", "step 80"],
        ["unchanged", "the start"],
    ]
    assert all("0 of 3" in row for row in rows)
    assert markdown(found).count("\n| ") == len(rows) + 1


@pytest.mark.parametrize(
    ("status", "of_run", "onset"),
    [
        ("healthy", "no_learning", None),
        ("too_short", "no_learning", 96),
        ("too_short", "complete_collapse", None),
        ("unstable", "complete_collapse", 40),
    ],
)
def test_a_trial_that_may_still_learn_is_no_cure_of_a_failure_to_learn(
    status: str, of_run: str, onset: int | None, tmp_path: Path
) -> None:
    summary = {
        "verdict": {"status": status, "since_step": 40},
        "metrics": {"val/skill": {"last": 0.1, "max_step": 96}},
        "monitor": {"key": "val/skill"},
    }
    assert _result(summary, RunDir(tmp_path, "e", "id"), of_run).onset == onset


def test_a_diagnosis_quotes_the_answer_of_an_investigation(
    failed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(str(failed), "--investigate", "--seeds", "1")
    capsys.readouterr()
    ended(str(failed))
    assert f"investigated\n  {content(failed)['answer']}" in capsys.readouterr().out


def test_candidates_come_from_the_findings_then_from_the_configuration() -> None:
    config = {
        "target": {"name": "shared"},
        "loss": {"form": "dino", "lambda_rate": 0.0},
        "optim": {"lr": 0.03, "clip": None},
        "aux": {"vicreg": {"weight": 1.0}},
    }
    finding = Finding("complete_collapse", "collapsed", 0.9, "z_agg")
    found = candidates([finding], config)
    names = [candidate.name for candidate in found]
    assert names[0] == "target=stopgrad"
    assert len(names) == len(set(names))
    for name in (
        "target=ema",
        "optim.lr=0.001",
        "optim.clip=1.0",
        "loss=prediction",
        "aux.vicreg.weight=0",
        "loss.lambda_rate=0.003",
    ):
        assert name in names, name
    assert all(candidate.why for candidate in found)


def test_the_configuration_of_a_trial_differs_in_the_change_alone(failed: Path) -> None:
    ended(str(failed), "--investigate", "--seeds", "1")
    trial = next(t for t in content(failed)["trials"] if t["change"] == CURE.name)
    runs = (failed, Path(trial["runs"][0]))
    one, other = (read_yaml(run / "config.yaml") for run in runs)
    assert other["optim"]["lr"] == 0.001
    other["optim"]["lr"] = one["optim"]["lr"]
    for key in ("preflight", "keep", "diagnosis", "figures"):
        one.pop(key), other.pop(key)
    assert one == other


def test_the_onset_is_dated_to_the_step_by_a_replay_that_changes_no_bit(tmp_path: Path) -> None:
    extra = ["optim.lr=3.0", "optim.clip=null", "figures=never", "dataset.epochs=6"]
    extra += ["monitor.log_every=1", "monitor.every_epochs=2"]
    line = small_overrides(tmp_path, *extra, experiment="seq_jepa_shared")
    config = compose_checked(line)
    run = train(config, command_line=CommandLine(tuple(line))).run_dir
    study, own = STUDY, history_of(run)
    states = study.states(run)
    data = study.load(config)
    first, second = states[:2]
    history = replayed(study, run, config, data, first, second.step)
    rank = [step for step, _ in history["val/z_agg/effective_rank"] if step > first.step]
    assert rank == list(range(first.step + 1, second.step + 1))
    for key in ("train/loss/total", "train/grad_norm"):
        assert history[key] == [point for point in own[key] if point[0] <= second.step]
    at_second = dict(own["val/z_agg/effective_rank"])[second.step]
    assert history["val/z_agg/effective_rank"][-1] == (second.step, at_second)
    assert sorted(path.name for path in run.parent.iterdir()) == [run.name]

    judge: Any = _Judge(at_second, first.step)
    found = onset_to_the_step(judge, run, config, data, states, judge.judge_of(config)(own))
    low = [s for s, value in history["val/z_agg/effective_rank"] if value <= at_second]
    assert found == next(step for step in low if step > first.step)


class _Judge:
    """The study with a rule of one limit on the rank."""

    def __init__(self, limit: float, after: int) -> None:
        self.limit, self.after = limit, after

    def __getattr__(self, name: str) -> Any:
        return getattr(STUDY, name)

    def judge_of(self, config: Any) -> Callable[[Any], Verdict]:
        def judge(history: Any) -> Verdict:
            later = [p for p in history["val/z_agg/effective_rank"] if p[0] > self.after]
            low = [step for step, value in later if value <= self.limit]
            return Verdict("complete_collapse", "z_agg", low[0]) if low else Verdict("healthy")

        return judge
