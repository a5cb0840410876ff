"""The search for settings: proposals that depend only on the log, means over seeds, and a command
that resumes."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins

from jepa_lab import check as check_command
from jepa_lab.errors import UserError
from jepa_lab.ledger.sweep_folder import Record, read_records
from jepa_lab.sweep.records import SweepEnded
from jepa_lab.sweep.search import Plan, SearchTrial, best_of, run_search, search_text
from jepa_lab.sweep.space import Space, read_space

pytest.importorskip("optuna", reason="the extra optuna is not installed")
Command = Callable[..., tuple[int, str, str]]
RATE = "loss.lambda_rate=tag(log,interval(1e-4,1e-1))"


def space_of(*overrides: str) -> Space:
    return read_space(OverridesParser.create().parse_overrides(list(overrides)))


class Machine:
    """Runs jobs whose value is -(log10(rate) + 2)^2 + seed/100, best at 0.01, and writes their
    records as a sweep does."""

    def __init__(
        self,
        folder: Path,
        fail: Callable[[int], bool] = lambda job: False,
        stop_at: int | None = None,
    ) -> None:
        self.folder, self.fail, self.stop_at = folder, fail, stop_at
        self.jobs: list[dict[str, str]] = []

    def launch(self, jobs: Sequence[Sequence[str]], first: int) -> None:
        for number, overrides in enumerate(jobs, first + 1):
            record = Record(number, list(overrides), "to do", folder=self.folder / "jobs")
            if self.stop_at is not None and len(self.jobs) >= self.stop_at:
                record.close("stopped", "SIGTERM received")
                raise SweepEnded
            settings = dict(override.split("=") for override in overrides)
            self.jobs.append(settings)
            rate, seed = float(settings["loss.lambda_rate"]), int(settings["seed"])
            record.value = -((math.log10(rate) + 2) ** 2) + seed / 100
            record.run_dir = f"runs/x/{rate:g}-{seed}"
            if self.fail(number):
                record.value = None
                record.close("failed", "no luck", 1)
            else:
                record.close("done")


def plan(*overrides: str, **options: Any) -> Plan:
    return Plan(space_of(*(overrides or (RATE,))), None, **options)


def test_the_search_gets_closer_to_the_best_rate_than_chance(tmp_path: Path) -> None:
    trials = run_search(plan(trials=20), tmp_path, Machine(tmp_path).launch)
    best = best_of(trials, "maximize")
    assert best is not None
    assert abs(math.log10(float(best.settings["loss.lambda_rate"])) + 2) < 0.1
    distances = [abs(math.log10(float(t.settings["loss.lambda_rate"])) + 2) for t in trials]
    # random draws between 1e-4 and 1e-1 are 1 decade away on average
    assert sum(distances[10:]) < 0.6 * 10 * 1.0
    assert all(1e-4 <= float(t.settings["loss.lambda_rate"]) <= 1e-1 for t in trials)


def test_minimising_finds_the_lowest_value(tmp_path: Path) -> None:
    best = best_of(
        run_search(plan(trials=15, direction="minimize"), tmp_path, Machine(tmp_path).launch),
        "minimize",
    )
    assert best is not None
    assert float(best.settings["loss.lambda_rate"]) < 3e-4


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_resumed_search_proposes_the_same_and_repeats_no_finished_trial(
    at_once: int, tmp_path: Path
) -> None:
    whole, cut, again = (Machine(tmp_path / name) for name in ("whole", "cut", "cut"))
    cut.stop_at = 4 * at_once + at_once // 2  # within the trials that are proposed together
    for machine in (whole, cut):
        machine.folder.mkdir()
    expected = run_search(
        plan(trials=4 * at_once + 6, at_once=at_once), tmp_path / "whole", whole.launch
    )
    with pytest.raises(SweepEnded):
        run_search(plan(trials=4 * at_once + 6, at_once=at_once), tmp_path / "cut", cut.launch)
    (tmp_path / "cut" / "jobs").rename(tmp_path / "cut" / "earlier")
    trials = run_search(
        plan(trials=4 * at_once + 6, at_once=at_once), tmp_path / "cut", again.launch
    )
    assert [t.settings for t in trials] == [t.settings for t in expected]
    assert cut.jobs + again.jobs == whole.jobs


def test_a_larger_number_of_trials_continues_the_existing_ones(tmp_path: Path) -> None:
    first = run_search(plan(trials=3), tmp_path, Machine(tmp_path).launch)
    machine = Machine(tmp_path)
    assert run_search(plan(trials=5), tmp_path, machine.launch)[:3] == first
    assert len(machine.jobs) == 2


def test_a_restarted_search_runs_every_trial_again(tmp_path: Path) -> None:
    first = run_search(plan(trials=3), tmp_path, Machine(tmp_path).launch)
    machine = Machine(tmp_path)
    assert run_search(plan(trials=3), tmp_path, machine.launch, anew=True) == first
    assert len(machine.jobs) == 3


def test_the_value_of_a_trial_is_the_mean_over_its_seeds(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (trial,) = run_search(plan(RATE, "seed=10,20", trials=1), tmp_path, machine.launch)
    rate = float(trial.settings["loss.lambda_rate"])
    assert trial.value == pytest.approx(-((math.log10(rate) + 2) ** 2) + 0.15)
    assert [job["seed"] for job in machine.jobs] == ["10", "20"]
    assert len({job["loss.lambda_rate"] for job in machine.jobs}) == 1


def test_a_failed_trial_is_never_the_best_and_runs_again_on_resume(tmp_path: Path) -> None:
    trials = run_search(
        plan(trials=4), tmp_path, Machine(tmp_path, fail=lambda job: job == 2).launch
    )
    assert [t.why for t in trials] == [None, "failed: no luck", None, None]
    assert "trial   2" in search_text(tmp_path)
    assert "failed: no luck" in search_text(tmp_path)
    machine = Machine(tmp_path)
    again = run_search(plan(trials=4), tmp_path, machine.launch)
    assert [job["loss.lambda_rate"] for job in machine.jobs] == [
        str(trials[1].settings["loss.lambda_rate"])
    ]
    assert all(t.value is not None for t in again)


def test_the_best_of_equal_trials_is_the_earliest_and_of_none_is_none() -> None:
    assert best_of([], "maximize") is None
    assert best_of([SearchTrial(0, {}, why="failed")], "maximize") is None
    equal = [SearchTrial(0, {}, 0.5), SearchTrial(1, {}, 0.5), SearchTrial(2, {}, 0.1)]
    assert best_of(equal, "maximize") is equal[0]
    assert best_of(equal, "minimize") is equal[2]


def test_lists_become_choices_and_integer_intervals_whole_numbers(tmp_path: Path) -> None:
    space = space_of("target=ema,stopgrad", "dataset.n_views=int(interval(2,6))", "tier=smoke")
    assert [axis.ends() for axis in space.axes] == [["ema", "stopgrad"], [2, 6]]
    assert space.common == ("tier=smoke",)
    assert space.outermost() == [
        ["tier=smoke", "target=ema", "dataset.n_views=2", "seed=0"],
        ["tier=smoke", "target=stopgrad", "dataset.n_views=6", "seed=0"],
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=0,1"], "hydra/sweeper=search: nothing to search"),
        (["loss.lambda_rate=interval(1,1)"], "an interval goes from a number to a larger one"),
        (["loss.lambda_rate=tag(log,interval(0,1))"], "a logarithmic interval begins above 0"),
        (["seed=interval(0,9)"], "seeds are not searched"),
        ([RATE, "seed=range(0,0)"], "no seed"),
    ],
)
def test_a_space_that_cannot_be_searched_gives_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        space_of(*overrides)


def test_the_log_of_another_search_is_not_continued(tmp_path: Path) -> None:
    run_search(plan(trials=1), tmp_path, Machine(tmp_path).launch)
    with pytest.raises(UserError, match="from a search with another direction"):
        run_search(plan(trials=1, direction="minimize"), tmp_path, Machine(tmp_path).launch)


LINE = ["-m", "+experiment=linear_byol", "figures=false", "epochs=20", "sigma_n=interval(0.05,0.5)"]
OURS = [*LINE, "hydra/sweeper=search"]


def replaced(line: list[str], overrides: list[str]) -> list[str]:
    """Returns the line with these overrides in place of those of the same keys."""
    keys = {override.partition("=")[0] for override in overrides}
    return [*(one for one in line if one.partition("=")[0] not in keys), *overrides]


def test_the_search_command_prints_the_best_trial_and_resumes(
    command: Command, tmp_path: Path
) -> None:
    code, out, _ = command(*OURS, "hydra.sweeper.n_trials=2")
    assert code == 0
    (path,) = tmp_path.glob("runs/sweeps/*/search.json")
    trials = json.loads(path.read_text())["trials"]
    for trial in trials:
        summary = json.loads((tmp_path / trial["runs"][0] / "summary.json").read_text())
        assert trial["value"] == summary["metrics"]["val/readout_r2"]["last"]
    best = max(trials, key=lambda t: float(t["value"]))
    assert f"best: trial {best['number'] + 1}" in out
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("runs/linear_byol/*/*")}
    code, out, _ = command(*OURS, "hydra.sweeper.n_trials=3")
    assert code == 0
    assert "1 job: 1 done" in out
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert len(json.loads(path.read_text())["trials"]) == 3
    code, out, _ = command(*OURS, "hydra.sweeper.n_trials=3")
    assert code == 0
    assert "best: trial" in out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["sweep.objective=test/readout_r2"],
            "sweep.objective=test/readout_r2: a search chooses on validation",
        ),
        (["sweep.objective=val/readout_r3"], "has no such value; did you mean 'val/readout_r2'?"),
        (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: expected a whole number from 1"),
        (
            ["hydra.sweeper.direction=up"],
            "hydra.sweeper.direction=up: expected maximize or minimize",
        ),
        (["sigma_n=interval(-1.0,0.5)"], "sigma_n=-1"),
    ],
)
def test_bad_input_gives_one_line(overrides: list[str], message: str, command: Command) -> None:
    code, _, err = command(*replaced(OURS, overrides))
    lines = [line for line in err.splitlines() if line.startswith("jepa_lab:")]
    assert code == 2
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.parametrize("override", ["hydra/sweeper=search", "hydra/launcher=sequential"])
def test_an_override_of_a_sweep_in_a_single_run_asks_for_the_flag_m(
    override: str, command: Command, tmp_path: Path
) -> None:
    code, _, err = command("+experiment=linear_byol", override)
    assert code == 2
    assert f"jepa_lab: {override}: applies to a sweep, but this is a single run; add -m" in err
    assert not list(tmp_path.glob("runs/*/*"))


def test_check_lists_the_ends_of_the_space_and_trains_nothing(
    command: Command, tmp_path: Path
) -> None:
    code, out, _ = command(
        "+experiment=search_rate", "tier=smoke", "encoder.widths=[4,8]", main=check_command.main
    )
    assert code == 0
    assert "2 jobs: 2 to do" in out
    assert "loss.lambda_rate=0.0001" in out
    assert "loss.lambda_rate=0.1" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper") is None,
    reason="hydra-optuna-sweeper is missing",
)
def test_hydras_own_optuna_sweeper_gets_the_objective_and_repeats_no_run(
    command: Command, tmp_path: Path
) -> None:
    line = [
        *LINE,
        "hydra/sweeper=optuna",
        "hydra.sweeper.direction=maximize",
        "hydra.sweeper.n_trials=2",
        "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.sampler.seed=1",
    ]
    assert command(*line)[0] == 0
    (path,) = tmp_path.glob("runs/sweeps/*/optimization_results.yaml")
    values = [r.value for r in read_records(path.parent)]
    assert f"best_value: {max(v for v in values if v is not None)}" in path.read_text()
    assert command(*line)[0] == 0
    assert [r.state for r in read_records(path.parent)] == ["skipped", "skipped"]


@pytest.mark.parametrize("installed", [False, True])
def test_without_hydras_plugin_the_sweeper_optuna_is_an_alias_of_search(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Plugins.instance()  # imports Hydra's own plugins, from which ours are derived
    from hydra_plugins import _jepa_lab_search_sweeper
    from hydra_plugins._jepa_lab_sources import OwnOptions

    monkeypatch.setattr(_jepa_lab_search_sweeper, "find_spec", lambda name: installed or None)
    options = OwnOptions("jepa_lab", "jepa_lab://hydra")
    assert options.is_config("hydra/sweeper/optuna") != installed
    assert options.is_config("hydra/sweeper/search")
    for name in options.list("hydra/sweeper", ObjectType.CONFIG):
        target = options.load_config(f"hydra/sweeper/{name}").config["_target_"]
        assert target.endswith("SearchSweeper") == (name in ("optuna", "search"))
