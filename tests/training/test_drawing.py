"""A run of a sweep leaves its figures for later. Drawn from its folder, they are those that a
single run draws."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import arc_maker, maker
from jepa_lab.cli.reporting import draw_page
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.report.__main__ import main as report
from jepa_lab.report.pictures import NAME
from jepa_lab.studies.run import train
from toy_configs import configure

AFFINE = ("dataset=digits_affine",)


def figures(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "figures").glob("*.png")}


@pytest.fixture(scope="module", params=["seq_jepa", "arc"])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of a single run, and of the same run in a sweep, drawn later."""
    made: list[Path] = []
    for in_sweep in (False, True):
        folder = tmp_path_factory.mktemp("runs")
        config = (
            maker(folder)(*AFFINE, experiment="seq_jepa_baseline")
            if request.param == "seq_jepa"
            else arc_maker(folder)()
        )
        run = train(config, brief=in_sweep).run_dir
        if in_sweep:
            assert not (run / "report.html").exists()
            assert figures(run) == {}
            report([str(run)])
        made.append(run)
    return made


def test_figures_drawn_later_are_those_of_a_single_run(runs: list[Path]) -> None:
    single, later = (figures(run) for run in runs)
    assert single.keys() == later.keys()
    assert len(single) >= 6
    same = [name for name in single if single[name] == later[name]]
    assert sorted(same) == sorted(single)


def test_a_page_drawn_later_has_the_verdict_the_gates_and_the_table(runs: list[Path]) -> None:
    single, later = ((run / "report.html").read_text(encoding="utf-8") for run in runs)
    for piece in ("verdict", "<table", "Why"):
        assert piece in later
    assert single.count("<tr") == later.count("<tr")
    assert single.count("<img") == later.count("<img")


def test_only_a_run_without_figures_keeps_what_they_show(runs: list[Path]) -> None:
    assert [(run / NAME).exists() for run in runs] == [False, True]


@pytest.mark.parametrize(
    ("figures_key", "in_sweep", "drawn"),
    [("auto", False, True), ("auto", True, False), ("always", True, True), ("never", False, False)],
)
def test_the_key_figures_decides(
    make_config: Callable[..., object], figures_key: str, in_sweep: bool, drawn: bool
) -> None:
    run = train(make_config(f"figures={figures_key}"), brief=in_sweep)
    assert (run.run_dir / "report.html").exists() == drawn


def test_the_same_line_as_a_single_run_draws_the_page_of_a_run_of_a_sweep(
    make_config: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(make_config(), brief=True)
    assert f"page:    jepa-lab report {run.run_dir}" in capsys.readouterr().out
    assert train(make_config()).state == "skipped"
    assert (run.run_dir / "report.html").exists()


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_damaged_pictures_get_one_line(
    make_config: Callable[..., object], content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(make_config(), brief=True)
    (run.run_dir / NAME).write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        report([str(run.run_dir)])
    assert ended.value.code == 2
    assert NAME in capsys.readouterr().err


def test_options_of_a_comparison_are_refused_beside_one_run(
    make_config: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(make_config(), brief=True)
    with pytest.raises(SystemExit) as ended:
        report([str(run.run_dir), "--metric", "val/skill"])
    assert ended.value.code == 2
    assert "one run; --metric is for a comparison of runs" in capsys.readouterr().err


def test_the_page_suggests_only_command_lines_that_compose(
    make_config: Callable[..., object],
) -> None:
    asked: list[CommandLine] = []

    def composes(line: CommandLine) -> bool:
        asked.append(line)
        return line.overrides[0] == "+experiment=good"

    pages = []
    for name in ("good", "bad"):
        line = CommandLine((f"+experiment={name}",))
        config = make_config("on_existing=restart", "loss.lambda_rate=0.001")
        run = train(config, command_line=line, composes=composes).run_dir
        pages.append((run / "report.html").read_text(encoding="utf-8"))
    commands = [re.findall(r'<pre class="command">(.*?)</pre>', page) for page in pages]
    assert asked
    assert [
        any("+experiment=good " in command for command in found[:-1]) for found in commands
    ] == [True, False]
    assert all(found[-2].startswith("jepa-lab diagnose ") for found in commands)


def test_a_run_of_the_toy_is_drawn_from_its_folder(tmp_path: Path) -> None:
    run = train(configure(f"runs_dir={tmp_path}", "figures=false", "epochs=2")).run_dir
    before = (run / "report.html").read_bytes()
    assert draw_page(run) == run / "report.html"
    assert figures(run).keys() == {"dynamics.png"}
    assert before != (run / "report.html").read_bytes()  # it names the picture
