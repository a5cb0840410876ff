"""Complete investigations on simulated runs: reports, resuming, limits and rejected input."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

import simulated_runs as m
from jepa_lab import diagnose
from jepa_lab.cli.compose import as_data
from jepa_lab.errors import RunBusy, UserError
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.studies.arc.investigation import investigate as module
from jepa_lab.studies.arc.investigation.charts import thinned
from jepa_lab.studies.arc.investigation.investigate import investigate_run
from jepa_lab.studies.arc.investigation.runs import Limits, Start


def run_of(trainer: m.Trainer, tmp_path: Path, **overrides: Any) -> Path:
    return m.failing_run(tmp_path / "runs", trainer, **overrides)


def silent(line: str) -> None:
    """Discards progress lines."""


def test_the_three_files_contain_the_answer_its_evidence_and_the_command(tmp_path: Path) -> None:
    trainer = m.Trainer(m.initialisation)
    outcome = investigate_run(
        run_of(trainer, tmp_path), None, tmp_path / "out", trainer, silent, as_data
    )
    assert outcome.code == 0
    names = [file.name for file in outcome.files]
    assert names == ["investigation.md", "investigation.html", "investigation.json"]
    content = json.loads(outcome.files[2].read_text())
    assert [q["answer"] for q in content["questions"]] == [
        "yes",
        "no, it amplifies",
        "none",
        "not testable",
    ]
    assert content["recommended"]["overrides"] == {"vq.init": "kmeans"}
    options = content["recommended"]["command"].split()
    assert options[:4] == ["python", "-m", "jepa_lab", "+experiment=arc_sixth_run"]
    # the change and the overrides of the failing run
    assert {"vq.init=kmeans", "vq.size=64"} <= set(options)
    assert content["recommended"]["checked"]
    text = outcome.files[0].read_text()
    first = text.split("\n\n")[1]
    assert first.startswith("The run fails: its embedding collapsed")
    assert "Cause: the codebook's initialisation, which the refresh amplifies" in first
    for step in content["steps"]:
        for run in step["runs"]:
            assert (
                Path(run["path"]) / "metrics.parquet"
            ).is_file()  # the run of every claim exists
            assert run["path"] in text


def test_steps_are_ordinary_runs_in_folders_beside_the_failing_run(tmp_path: Path) -> None:
    trainer = m.Trainer(m.only_refresh)
    folder = run_of(trainer, tmp_path)
    investigate_run(folder, None, None, trainer, silent)
    (made,) = (tmp_path / "runs" / "arc_sixth_run_no_vq").iterdir()
    config = yaml.safe_load((made / "config.yaml").read_text())
    assert config["vq"]["enabled"] is False
    assert config["runs_dir"] == str((tmp_path / "runs").resolve())
    assert config["max_wall_s"] is None
    base = yaml.safe_load((folder / "config.yaml").read_text())
    same = ("dataset", "loss", "optim", "target", "model", "seed")
    assert {k: config[k] for k in same} == {k: base[k] for k in same}
    assert (folder / "investigation.html").is_file()


def test_repeating_the_call_makes_no_run_and_gives_the_same_answer(tmp_path: Path) -> None:
    trainer = m.Trainer(m.initialisation)
    folder = run_of(trainer, tmp_path)
    first = investigate_run(folder, None, None, trainer, silent)
    made = list(trainer.asked)
    again = investigate_run(folder, Limits(max_runs=1), None, trainer, silent)
    assert trainer.asked == made
    assert again.content["questions"] == first.content["questions"]
    assert all(run["reused"] for step in again.content["steps"] for run in step["runs"])


def test_a_limit_on_runs_lists_missing_steps_and_the_same_call_resumes(tmp_path: Path) -> None:
    trainer = m.Trainer(m.initialisation)
    folder = run_of(trainer, tmp_path)
    outcome = investigate_run(folder, Limits(max_runs=3), None, trainer, silent)
    assert outcome.code == 1
    assert outcome.content["not_reached"][0] == "gentle_refresh"
    assert outcome.content["stopped"] == "--max-runs 3 reached"
    assert "vq.enabled=false" in outcome.content["answer"]  # the stable step so far
    rounds = 0
    while outcome.code == 1 and rounds < 5:
        outcome = investigate_run(folder, Limits(max_runs=3), None, trainer, silent)
        rounds += 1
    assert outcome.code == 0
    assert len(trainer.asked) == len(set(trainer.asked)) == 7


def test_a_guilty_loss_is_not_the_answer_before_all_losses_were_tested(tmp_path: Path) -> None:
    trainer = m.Trainer(m.a_loss("sigreg"))
    outcome = investigate_run(run_of(trainer, tmp_path), Limits(max_runs=4), None, trainer, silent)
    assert trainer.asked == ["no_vq", "info_nce_only", "add_sigreg", "add_color"]
    answer = outcome.content["questions"][2]
    assert (answer["answer"], answer["why"]) == (
        "not reached",
        "--max-runs 4 reached; so far: sigreg",
    )
    assert outcome.content["not_reached"] == ["add_translation", "add_symmetry", "add_relational"]


def test_a_limit_on_time_stops_before_the_next_run(tmp_path: Path) -> None:
    trainer = m.Trainer(m.initialisation)
    outcome = investigate_run(
        run_of(trainer, tmp_path), Limits(max_hours=1e-9), None, trainer, silent
    )
    assert outcome.code == 1
    assert trainer.asked == []
    assert outcome.content["stopped"] == "--max-hours 1e-09 reached"
    assert outcome.content["questions"][0]["answer"] == "not reached"


def test_an_interruption_keeps_finished_runs_and_the_same_call_resumes(tmp_path: Path) -> None:
    trainer = m.Trainer(m.initialisation, interrupt_at="no_refresh")
    folder = run_of(trainer, tmp_path)
    outcome = investigate_run(folder, None, None, trainer, silent)
    assert outcome.code == 130
    assert trainer.asked == ["no_vq"]
    assert "SIGINT" in outcome.content["stopped"]
    assert outcome.content["not_reached"][0] == "no_refresh"
    assert investigate_run(folder, None, None, trainer, silent).code == 0
    assert trainer.asked.count("no_vq") == 1


def test_without_a_repair_the_exit_code_is_1_and_the_fallback_is_marked(tmp_path: Path) -> None:
    trainer = m.Trainer(m.hopeless_codebook)
    outcome = investigate_run(run_of(trainer, tmp_path), None, None, trainer, silent)
    assert outcome.code == 1
    assert outcome.content["recommended"]["whole"] is False
    assert "Stable, but no repair" in outcome.files[0].read_text()


def test_a_healthy_run_is_reported_and_nothing_is_run(tmp_path: Path) -> None:
    trainer = m.Trainer(m.healthy)
    outcome = investigate_run(run_of(trainer, tmp_path), None, None, trainer, silent)
    assert outcome.code == 0
    assert trainer.asked == []
    assert outcome.content["answer"].startswith("Nothing is wrong")
    assert outcome.content["recommended"] is None


def test_a_step_that_raises_is_reported_and_the_next_is_tried(tmp_path: Path) -> None:
    refuses = {
        "low_commitment": ValueError("broken"),
        "gentle_refresh": UserError("vq.refresh.interval: too long"),
    }
    trainer = m.Trainer(m.initialisation, refuses=refuses)
    outcome = investigate_run(run_of(trainer, tmp_path), None, None, trainer, silent)
    assert outcome.code == 0
    errors = {step["name"]: step["error"] for step in outcome.content["steps"] if step["error"]}
    assert errors == {
        "low_commitment": "ValueError: broken",
        "gentle_refresh": "vq.refresh.interval: too long",
    }


def test_a_first_step_that_is_rejected_or_busy_raises_an_error(tmp_path: Path) -> None:
    refused = m.Trainer(
        m.initialisation, refuses={"no_vq": UserError("dataset.path=/gone: no such folder")}
    )
    folder = run_of(refused, tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        investigate_run(folder, None, None, refused, silent)
    with pytest.raises(RunBusy):
        investigate_run(
            folder,
            None,
            None,
            m.Trainer(m.initialisation, refuses={"no_vq": RunBusy("at work")}),
            silent,
        )


def test_with_seeds_the_majority_decides_and_the_spread_is_shown(tmp_path: Path) -> None:
    trainer = m.Trainer(m.only_refresh, seeds={2: m.hopeless})
    outcome = investigate_run(run_of(trainer, tmp_path), Limits(seeds=3), None, trainer, silent)
    assert outcome.code == 0
    assert outcome.content["cause"] == "the refresh"
    assert trainer.asked == ["base", "base", *["no_vq"] * 3, *["no_refresh"] * 3]
    (step,) = [s for s in outcome.content["steps"] if s["name"] == "no_vq"]
    assert step["figures"]["primary"]["min"] < step["figures"]["primary"]["max"]
    assert [run["seed"] for run in step["runs"]] == [0, 1, 2]
    assert "3 seeds" in outcome.files[0].read_text()
    assert " to " in outcome.files[1].read_text()


def test_a_failure_of_one_seed_in_three_is_attributed_to_the_seed(tmp_path: Path) -> None:
    trainer = m.Trainer(m.healthy, seeds={0: m.initialisation})
    outcome = investigate_run(run_of(trainer, tmp_path), Limits(seeds=3), None, trainer, silent)
    assert outcome.content["scenario"] == "seed"
    assert "1 of its 3 seeds" in outcome.content["answer"]
    assert outcome.code == 1


def test_with_another_budget_the_failing_configuration_is_run_first(tmp_path: Path) -> None:
    trainer = m.Trainer(m.only_refresh)
    outcome = investigate_run(run_of(trainer, tmp_path), Limits(epochs=5), None, trainer, silent)
    assert trainer.asked[0] == "base"
    (made,) = (tmp_path / "runs" / "arc_sixth_run_no_vq").iterdir()
    config = yaml.safe_load((made / "config.yaml").read_text())
    assert config["dataset"]["epochs"] == 5
    assert config["target"]["tau"] is None  # is derived again for this length
    assert "Every run has 5 epochs" in outcome.files[0].read_text()


def test_a_run_that_failed_with_nan_is_evidence_and_is_not_repeated(tmp_path: Path) -> None:
    trainer = m.Trainer(m.learning_rate)
    folder = run_of(trainer, tmp_path)
    outcome = investigate_run(folder, None, None, trainer, silent)
    assert outcome.content["recommended"]["overrides"] == {"optim.lr": 0.0003}
    (step,) = [s for s in outcome.content["steps"] if s["name"] == "no_vq"]
    assert "CRASH" in step["verdict"]
    assert step["runs"][0]["state"] == "failed"


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def test_the_page_is_well_formed_and_self_contained_and_shows_every_step(tmp_path: Path) -> None:
    trainer = m.Trainer(m.initialisation)
    outcome = investigate_run(run_of(trainer, tmp_path), None, None, trainer, silent)
    html = outcome.files[1].read_text()
    page = _Page()
    page.feed(html)
    assert page.open == []
    assert not re.search(r"https?://|src=|@import|url\(", html)
    assert "prefers-color-scheme: dark" in html
    steps = outcome.content["steps"]
    assert page.seen.count("svg") == sum(1 + ("usage" in step["figures"]) for step in steps)


def test_markup_in_a_name_is_escaped_on_the_page(tmp_path: Path) -> None:
    trainer = m.Trainer(m.healthy)
    folder = run_of(trainer, tmp_path)
    config = yaml.safe_load((folder / "config.yaml").read_text()) | {"name": "<script>alert(1)"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    html = investigate_run(folder, None, None, trainer, silent).files[1].read_text()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_a_thinned_curve_keeps_its_first_and_last_point() -> None:
    points = [(i, float(i)) for i in range(1234)]
    kept = thinned(points)
    assert len(kept) == 200
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert thinned(points[:200]) == points[:200]


def test_runs_that_cannot_be_investigated_are_rejected_in_one_line(tmp_path: Path) -> None:
    trainer = m.Trainer(m.initialisation)
    folder = run_of(trainer, tmp_path)

    def refusal(path: Path = folder) -> str:
        with pytest.raises(UserError) as error:
            investigate_run(path, None, None, trainer, silent)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "needs the folder" in refusal(tmp_path / "nothing")
    assert "no config.yaml" in refusal(tmp_path)
    run = RunDir(folder.parent.parent, folder.parent.name, folder.name)
    run.write_status("running")
    assert "still running" in refusal()
    run.write_status("completed")
    (folder / "metrics.parquet").unlink()
    assert "no metrics.parquet" in refusal()
    assert trainer.asked == []


def test_a_run_of_a_study_without_an_investigation_is_rejected(
    tmp_path: Path, on_the_command_line: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = m.Trainer(m.initialisation)
    folder = run_of(trainer, tmp_path)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "study": "linear_byol"}))
    assert on_the_command_line(trainer, folder, "--investigate") == 2
    assert "toy" in capsys.readouterr().err
    assert trainer.asked == []


def test_a_stopped_run_without_a_failure_should_be_resumed_instead(tmp_path: Path) -> None:
    trainer = m.Trainer(m.healthy)
    folder = run_of(trainer, tmp_path)
    RunDir(folder.parent.parent, folder.parent.name, folder.name).write_status(
        "stopped", "SIGINT received"
    )
    with pytest.raises(UserError, match="before it showed a failure"):
        investigate_run(folder, None, None, trainer, silent)


def test_a_read_only_output_folder_is_rejected_before_any_run(tmp_path: Path) -> None:
    trainer = m.Trainer(m.initialisation)
    folder = run_of(trainer, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out"):
        investigate_run(folder, None, tmp_path / "file" / "out", trainer, silent)
    assert trainer.asked == []


@pytest.fixture
def on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a call of `diagnose` with simulated runs, which returns the exit code."""

    def call(trainer: Start, *options: object) -> int:
        monkeypatch.setattr(
            module.investigate_run, "__defaults__", (None, None, trainer, print, as_data)
        )
        try:
            diagnose.main([str(option) for option in options])
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return call


def test_the_command_prints_every_step_and_ends_with_the_answer(
    tmp_path: Path, on_the_command_line: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = m.Trainer(m.only_refresh)
    folder = run_of(trainer, tmp_path)
    assert on_the_command_line(trainer, folder, "--investigate") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        " E1 no_vq: does the run become stable without the codebook? (vq.enabled=false)"
    )
    assert lines[1].startswith("    -> STABLE [")
    assert any(line.startswith("Is it the refresh of dead codes? yes") for line in lines)
    assert any(
        {"+experiment=arc_sixth_run", "vq.refresh.enabled=false"} <= set(line.split())
        for line in lines
    )


def test_the_command_prints_only_json_on_request(
    tmp_path: Path, on_the_command_line: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = m.Trainer(m.hopeless_codebook)
    folder = run_of(trainer, tmp_path)
    assert on_the_command_line(trainer, folder, "--investigate", "--json", "--max-runs", 2) == 1
    assert json.loads(capsys.readouterr().out)["stopped"] == "--max-runs 2 reached"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--investigate", "--max-runs", "0"], "a whole number above 0"),
        (["--investigate", "--max-hours", "nan"], "a number above 0"),
        (["--investigate", "--seeds", "1.5"], "a whole number above 0"),
        (["--max-runs", "3"], "--max-runs belongs to --investigate"),
    ],
)
def test_invalid_options_are_rejected(
    tmp_path: Path,
    on_the_command_line: Any,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    trainer = m.Trainer(m.healthy)
    assert on_the_command_line(trainer, run_of(trainer, tmp_path), *options) == 2
    assert message in capsys.readouterr().err
