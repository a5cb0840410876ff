"""The comparison of auxiliary losses from the command line: its two stages, and interruptions of
either."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

import conftest
from jepa_lab import check as check_command
from jepa_lab.cli import app as cli
from jepa_lab.cli.overrides import overrides_for_comparison
from jepa_lab.config.groups import conf_dir
from jepa_lab.ledger.sweep_folder import read_records
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.sweep import tuned_comparison as aux_comparison
from jepa_lab.sweep.sweep_line import SweepLine, read_line

SMALL = [
    "tier=smoke",
    "dataset.epochs=1",
    "dataset.train_size=128",
    "dataset.val_size=64",
    "encoder.widths=[4,8]",
    "hardware.threads=1",
    "model.action_dim=8",
    "model.depth=1",
    "model.hidden=16",
    "probes.hidden=16",
    "preflight=off",
]
LINE = [
    "-m",
    "+experiment=aux_comparison",
    *SMALL,
    "aux=none,vicreg",
    "aux.vicreg.proj_hidden_dim=32",
    "sweep.tuning.weights=2",
    "sweep.tuning.span=100",
    "sweep.tuning.seeds=[7]",
]
Command = Callable[..., tuple[int, str, str]]
Job = tuple[str, float, int]  # arm, weight, seed


class Recorded:
    """The initial weights and the batches of the jobs in this process."""

    def __init__(self) -> None:
        self.began: list[Job] = []
        self.start: dict[Job, str] = {}
        self.images: dict[Job, list[str]] = {}


def job_of(module: SeqJEPA) -> Job:
    arms = {name: float(arm.options.weight) for name, arm in module.objective.arms()}
    name, weight = next(iter(arms.items()), ("none", 0.0))
    return name, weight, module.seed


def digest(*tensors: torch.Tensor) -> str:
    return hashlib.blake2b(
        b"".join(t.detach().numpy().tobytes() for t in tensors), digest_size=8
    ).hexdigest()


def watch(
    monkeypatch: pytest.MonkeyPatch, fail: Callable[[Job], bool] = lambda job: False
) -> Recorded:
    recorded, step = Recorded(), SeqJEPA.training_step

    def watched(self: SeqJEPA, batch: Any, *args: Any) -> Any:
        job = job_of(self)
        if self.global_step == 0:
            recorded.began.append(job)
            recorded.start[job] = digest(*self.network.state_dict().values())
        recorded.images.setdefault(job, []).append(digest(batch.views, batch.actions))
        if fail(job):
            raise RuntimeError("no luck")
        return step(self, batch, *args)

    monkeypatch.setattr(SeqJEPA, "training_step", watched)
    return recorded


def tuning_of(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("runs/sweeps/*/tuning.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, Recorded]]:
    """The folder, the output and the recorded jobs of an uninterrupted comparison."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["jepa_lab"])
        conftest.without_figures(patch)
        recorded = watch(patch)
        import contextlib
        import io

        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            cli.main([*LINE, "seed=0,1"])
        yield folder, out.getvalue(), recorded


Whole = tuple[Path, str, Recorded]


def test_every_arm_but_none_is_tuned_first_then_all_run_with_fresh_seeds(whole: Whole) -> None:
    folder, _, recorded = whole
    tuned = [("vicreg", 0.1, 7), ("vicreg", 10.0, 7)]
    weight = tuning_of(folder)["arms"][0]["chosen"]
    reported = [("none", 0.0, 0), ("vicreg", weight, 0), ("none", 0.0, 1), ("vicreg", weight, 1)]
    assert recorded.began == tuned + reported


def test_the_chosen_weight_is_that_of_the_best_validation_value(whole: Whole) -> None:
    (arm,) = tuning_of(whole[0])["arms"]
    summaries = {
        c["weight"]: json.loads((whole[0] / c["trials"][0]["run_dir"] / "summary.json").read_text())
        for c in arm["candidates"]
    }
    values = {w: s["metrics"]["val/probe/class_from_z_agg"]["last"] for w, s in summaries.items()}
    assert {c["weight"]: c["mean"] for c in arm["candidates"]} == values
    assert arm["chosen"] == max(values, key=lambda weight: values[weight])


def test_a_key_of_an_arm_reaches_only_that_arm_in_both_stages(whole: Whole) -> None:
    arms = [
        yaml.safe_load(path.read_text())["aux"]
        for path in whole[0].glob("runs/aux_comparison/*/config.yaml")
    ]
    assert [arm["vicreg"]["proj_hidden_dim"] for arm in arms if arm] == [32] * 4
    assert arms.count({}) == 2


def test_a_choice_at_the_end_of_the_tried_range_is_marked(whole: Whole) -> None:
    weight = tuning_of(whole[0])["arms"][0]["chosen"]
    assert tuning_of(whole[0])["arms"][0]["at_the_end"] is True
    assert f"4 jobs are reported with vicreg {weight:g} (at the end of the tried range)" in whole[1]


def test_initial_weights_and_data_order_are_the_same_in_every_arm(whole: Whole) -> None:
    _, _, recorded = whole
    for seed in (0, 1):
        jobs = [job for job in recorded.began if job[2] == seed]
        assert len(jobs) == 2
        assert len({recorded.start[job] for job in jobs}) == 1
        assert len({tuple(recorded.images[job]) for job in jobs}) == 1
        assert len(recorded.images[jobs[0]]) == 2
    assert len(set(recorded.start.values())) == 3  # every seed has its own initial weights


def test_the_report_has_only_the_reported_seeds_and_describes_the_tuning(whole: Whole) -> None:
    folder, out, _ = whole
    results = folder / "comparison_results"
    rows = json.loads((results / "experiment_comparison_results.json").read_text())
    assert {row["aux_loss_type"]: (row["seeds"], row["is_control"]) for row in rows} == {
        "none": ([0, 1], True),
        "vicreg": ([0, 1], False),
    }
    assert all(row["metric"] == "test/probe/class_from_z_agg" for row in rows)
    assert len(list(results.glob("trained_models/*/seed*/best.ckpt"))) == 4
    text = (results / "comparison_summary.txt").read_text()
    assert text in out
    weight = tuning_of(folder)["arms"][0]["chosen"]
    assert f"vicreg: aux.vicreg.weight={weight:g} (by default 1); 0.1 gave " in text
    assert "aux.vicreg.weight" in (results / "report.html").read_text()
    assert json.loads((results / "tuning.json").read_text()) == tuning_of(folder)


def test_the_same_command_again_reuses_the_choice_and_trains_nothing(
    whole: Whole, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, _ = whole
    monkeypatch.chdir(folder)
    recorded = watch(monkeypatch)
    code, out, _ = command(*LINE, "seed=0,1")
    assert code == 0
    assert not recorded.began
    assert "weights chosen before: vicreg" in out
    assert "4 jobs: 4 skipped" in out
    assert len(list((folder).glob("comparison_results*"))) == 1


def test_results_that_cannot_be_written_at_the_end_give_exit_code_2(
    whole: Whole, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, _ = whole
    monkeypatch.chdir(folder)
    full = MagicMock(side_effect=OSError("full"))
    monkeypatch.setattr("jepa_lab.report.comparison.report.write_json", full)
    code, out, err = command(*LINE, "seed=0,1")
    last = err.splitlines()[-1]
    assert (code, last) == (
        2,
        "jepa_lab: sweep.results comparison_results: cannot write comparison_results (full)",
    )
    assert "4 jobs: 4 skipped" in out


def test_a_different_comparison_gets_a_results_folder_of_its_own(
    whole: Whole, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, _ = whole
    monkeypatch.chdir(folder)
    before = (folder / "comparison_results" / "tuning.json").read_bytes()
    code, out, _ = command(*LINE, "seed=0")
    assert code == 0
    (beside,) = folder.glob("comparison_results_*")
    assert f"{beside.name}/report.html" in out
    assert (folder / "comparison_results" / "tuning.json").read_bytes() == before


def test_check_lists_the_jobs_of_both_stages_and_trains_nothing(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = watch(monkeypatch)
    code, out, _ = command(*LINE, "seed=0,1", main=check_command.main)
    assert code == 0
    assert "2 jobs: 2 to do" in out
    assert "4 jobs: 4 to do" in out
    assert "those of vicreg are not chosen yet" in out
    assert not recorded.began
    assert not list(tmp_path.iterdir())


def test_a_comparison_killed_between_the_stages_trains_nothing_twice(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*args: Any) -> None:
        raise KeyboardInterrupt

    line = [*LINE, "seed=0"]
    recorded = watch(monkeypatch)
    for place in ((aux_comparison, "write_tuning"), (aux_comparison.Stages, "second")):
        with monkeypatch.context() as patch:
            patch.setattr(*place, kill)
            assert command(*line)[0] == 130
        assert recorded.began == [("vicreg", 0.1, 7), ("vicreg", 10.0, 7)]
        assert not (tmp_path / "comparison_results").exists()
    assert command(*line)[0] == 0
    assert [seed for *_, seed in recorded.began] == [7, 7, 0, 0]
    assert (tmp_path / "comparison_results" / "report.html").is_file()


def test_failed_jobs_are_reported_and_the_same_command_repeats_only_them(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        watch(patch, fail=lambda job: job[1] == 10.0 or (job[0] == "vicreg" and job[2] == 1))
        code, out, _ = command(*LINE, "seed=0,1")
    assert code == 1
    assert "6 jobs: 4 done, 2 failed" in out
    assert "vicreg, seed 1: failed (RuntimeError: no luck)" in out
    assert "10 gave nothing (1 of 1 collapsed or failed)" in out
    (arm,) = tuning_of(tmp_path)["arms"]
    assert arm["chosen"] == 0.1
    assert arm["candidates"][1]["trials"][0]["why"] == "failed: RuntimeError: no luck"
    recorded = watch(monkeypatch)
    code, out, _ = command(*LINE, "seed=0,1")
    assert code == 0
    assert ("vicreg", 10.0, 7) in recorded.began
    assert ("vicreg", 0.1, 7) not in recorded.began
    assert all(arm != "none" for arm, *_ in recorded.began)
    (sweep,) = tmp_path.glob("runs/sweeps/*")
    assert {record.state for record in read_records(sweep)} == {"done", "skipped"}


def test_the_second_stage_waits_if_the_first_runs_out_of_time(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = command(*LINE, "seed=0", "max_wall_s=1e-9")
    assert code == 0
    assert "no comparison yet: the weights are not chosen" in out
    (sweep,) = tmp_path.glob("runs/sweeps/*")
    assert [record.state for record in read_records(sweep)] == ["stopped", "to do"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["aux=none,vicregg"], "aux=vicregg: no such option; did you mean 'vicreg'?"),
        (["seed=range(0,0)"], "seed=range(0,0): no seed to report"),
        (["seed=x"], "seed=x: expected whole numbers"),
        (["sweep.tuning.weights=0"], "sweep.tuning.weights=0: must be at least 1"),
        (["sweep.tuning.span=1"], "sweep.tuning.span=1.0: must be above 1"),
        (["sweep.tuning.seeds=[]"], "sweep.tuning.seeds=[]: one seed or more"),
        (["sweep.tuning.seeds=[5,1]"], "sweep.tuning.seeds=[5,1]: seed 1 is reported too"),
        (["loss.lambda_rate=0.01"], "loss.lambda_rate=0.01: must be 0 in every arm"),
        (
            ["sweep.tuning.metric=val/probe/clas_from_z"],
            "sweep.tuning.metric=val/probe/clas_from_z: expected one of",
        ),
        (
            ["sweep.tuning.metric=val/probe/relative_action_from_z", "dataset.n_views=2"],
            (
                "sweep.tuning.metric=val/probe/relative_action_from_z: not measured, needs two"
                " views that are not the reference"
            ),
        ),
        (["target=ema,stopgrad"], "target=ema,stopgrad: a comparison sweeps only aux and seed"),
        (
            ["sweep.tuning.metric=val/retrieval/mrr"],
            "sweep.tuning.metric=val/retrieval/mrr: expected one of val/probe/",
        ),
        (
            ["aux=none,vicreg", "aux.dino.weight=1"],
            "dino is not among the arms; give aux=none,vicreg,dino",
        ),
        (
            ["aux=none,vicreg", "aux.vicreg.sim_coef=1"],
            "aux.vicreg.sim_coef: no such key; did you mean 'sim_coeff'?",
        ),
        (
            ["aux=none,vicreg", "aux.vicrg.weight=1"],
            "aux.vicrg.weight: no such key; did you mean 'vicreg'?",
        ),
        (["aux=none,vicreg", "aux.vicreg.eps=1e-4,1e-3"], "give aux.vicreg.eps one value"),
        (
            ["aux=none,[vicreg,sigreg]", "aux.sigreg.weight=0"],
            "aux.sigreg.weight=0: must be above 0",
        ),
        (["aux=none,[]"], "aux=none,[]: none and [] are the same arm"),
        (["aux=[vicreg,sigreg],['sigreg',vicreg]"], "['sigreg',vicreg] are the same arm"),
        (
            ["sweep.results=/dev/null"],
            "sweep.results /dev/null: a file is there, a folder is needed",
        ),
        (
            ["sweep.results=/dev/null/x"],
            "sweep.results /dev/null/x: /dev/null is a file, a folder is needed",
        ),
    ],
)
def test_bad_input_gives_one_line_before_any_training(
    overrides: list[str], message: str, command: Command, tmp_path: Path
) -> None:
    seeds = [] if any(o.startswith("seed=") for o in overrides) else ["seed=0,1"]
    code, _, err = command("-m", "+experiment=aux_comparison", *SMALL, *seeds, *overrides)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert message in err
    assert not list(tmp_path.iterdir())


def line_of(*overrides: str) -> SweepLine:
    return read_line(
        OverridesParser.create().parse_overrides(overrides_for_comparison(list(overrides)))
    )


def test_keys_of_an_arm_go_to_its_jobs_and_tried_weights_replace_them() -> None:
    line = line_of(
        "+experiment=aux_comparison",
        "aux=none,vicreg,[vicreg,sigreg]",
        "seed=range(0,2)",
        "tier=smoke",
        "aux.vicreg.weight=0.5",
        "aux.vicreg.eps=1e-3",
    )
    assert line.common == ["+experiment=aux_comparison", "tier=smoke"]
    assert line.job("none", 0)[2:] == ["aux=none", "seed=0"]
    assert line.job("vicreg", 1)[2:] == [
        "aux=vicreg",
        "seed=1",
        "aux.vicreg.weight=0.5",
        "aux.vicreg.eps=0.001",
    ]
    assert line.job("[vicreg,sigreg]", 1, ["aux.vicreg.weight=3", "aux.sigreg.weight=1"])[2:] == [
        "aux=[vicreg,sigreg]",
        "seed=1",
        "aux.vicreg.eps=0.001",
        "aux.vicreg.weight=3",
        "aux.sigreg.weight=1",
    ]


def test_only_overrides_of_a_comparison_are_rewritten() -> None:
    override = "aux.vicreg.weight=1"
    for name in ("aux_comparison", "aux_comparison_simple", "arc_aux_comparison"):
        assert overrides_for_comparison([f"+experiment={name}", override]) == [
            f"+experiment={name}",
            f"++{override}",
        ]
    for line in (
        ["+experiment=seq_jepa_baseline", override],
        ["+experiment=no_such", override],
        [override],
        ["+experiment=aux_comparison", "aux=vicreg", override, "hydra.mode=RUN"],
    ):
        assert overrides_for_comparison(line) == line


def test_an_arm_of_several_losses_is_tuned_by_one_factor_of_its_weights(
    command: Command, tmp_path: Path
) -> None:
    tiny = [
        "tier=smoke",
        "dataset.train_tasks=32",
        "dataset.val_tasks=8",
        "dataset.test_tasks=8",
        "model.width=16",
        "model.heads=2",
        "dataset.batch_size=8",
        "vq.size=8",
        "hardware.threads=1",
    ]
    code, out, err = command(
        "+experiment=arc_aux_comparison",
        *tiny,
        "aux=none,[vicreg,sigreg]",
        "aux.vicreg.weight=0.5",
        "seed=0",
        "sweep.tuning.weights=3",
        "sweep.tuning.seeds=[7]",
        main=check_command.main,
    )
    assert (code, err) == (0, "")
    for vicreg, sigreg in ((0.005, 0.0005), (0.5, 0.05), (50, 5)):
        assert f"aux.vicreg.weight={vicreg:g} aux.sigreg.weight={sigreg:g}" in out
    assert "3 jobs: 3 to do" in out
    assert "those of [vicreg,sigreg] are not chosen yet" in out
    assert "2 jobs: 2 to do" in out
    assert not list(tmp_path.iterdir())


def test_the_comparison_of_the_arc_jepa_differs_only_in_its_metric() -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        own, other = (
            compose("config", [f"+experiment={name}"], return_hydra_config=True)
            for name in ("arc_aux_comparison", "aux_comparison")
        )
    assert own.hydra.sweeper == other.hydra.sweeper
    assert (own.sweep.report, own.sweep.tuning.metric) == ("aux_comparison", "val/skill")
    settings = {key: value for key, value in own.sweep.tuning.items() if key != "metric"}
    assert settings == {key: value for key, value in other.sweep.tuning.items() if key != "metric"}
