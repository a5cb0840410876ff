"""Small complete runs of the ARC JEPA: their output, resuming with the same bits, preflight."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch

from conftest import arc_maker
from jepa_lab.config.groups import conf_dir, options_of
from jepa_lab.ledger.parquet import history_of
from jepa_lab.studies.arc import callbacks as callbacks_of_arc
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.preflight import run_preflight
from jepa_lab.studies.run import train
from jepa_lab.training.preflight import Preflight
from jepa_lab.training.run import RunResult
from jepa_lab.training.study import Parts
from study_parts import load_data, prepare

Make = Callable[..., ArcConfig]
EXPERIMENTS = [name for name in options_of(conf_dir() / "experiment") if name.startswith("arc_")]
COLLAPSE = [
    f"{tap}/{m}"
    for tap in ("z", "z_agg", "z_hat", "z_target")
    for m in ("effective_rank", "feature_std", "n")
]
KEYS = [
    *(f"train/loss/{name}" for name in ("total", "prediction", "info_nce", "commitment")),
    *(
        "train/grad_norm",
        "train/temperature",
        "train/temperature_clamped",
        "train/info_nce/negatives",
    ),
    *("train/share/prediction", "train/share/vq", "train/gradient/prediction", "train/gradient/vq"),
    *("val/loss/prediction", "val/info_nce/chance", "val/skill", "val/demo_gain", "val/copy_gain"),
    *(
        f"{split}/retrieval/{of}{name}"
        for split in ("reference", "val", "test")
        for of in ("", "copy_", "no_predictor_")
        for name in ("top1", "mrr")
    ),
    *(
        f"{split}/retrieval/plain/{baseline}/{name}"
        for split in ("reference", "test")
        for baseline in ("equal_cells", "histogram", "moved_histogram", "size", "combined")
        for name in ("top1", "mrr")
    ),
    *(
        f"test/retrieval/rule/{kind}/{name}"
        for kind in ("sequential", "conditional", "repeated")
        for name in ("top1", "copy_top1", "plain_top1", "n")
    ),
    *(
        f"val/codebook/{name}"
        for name in ("usage", "perplexity", "dead_code_age", "norm_median", "norm_max")
    ),
    *(f"{split}/{key}" for split in ("reference", "val", "test") for key in COLLAPSE),
    "monitor/seconds",
]


FRAMES = ("dataset.problem=frames", "dataset.n_frames=2")


class KilledError(Exception):
    """Ends a run like a signal."""


def parts_of(config: ArcConfig) -> Parts:
    return prepare(config, load_data(config))


def weights(result: RunResult) -> dict[str, torch.Tensor]:
    assert result.module is not None
    return {
        k: v.clone() for k, v in result.module.state_dict().items() if isinstance(v, torch.Tensor)
    }


def rows_without_time(path: Path) -> list[tuple[object, ...]]:
    table = pq.read_table(path / "metrics.parquet").to_pylist()
    return [
        (r["step"], r["epoch"], r["key"], r["value"])
        for r in table
        if r["key"] != "monitor/seconds"
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return train(arc_maker(tmp_path_factory.mktemp("arc"))())


def test_a_run_logs_the_metrics_of_the_diagnosis(run: RunResult) -> None:
    history = history_of(run.run_dir)
    missing = [key for key in KEYS if not history.get(key)]
    assert not missing
    assert all(math.isfinite(value) for key in KEYS for _, value in history[key])


def test_a_run_writes_figures_a_page_and_a_summary_with_a_verdict(run: RunResult) -> None:
    summary = json.loads((run.run_dir / "summary.json").read_text())
    assert summary["verdict"]["status"] == run.verdict["status"]
    assert summary["monitor"]["key"] == "val/skill"
    assert summary["protocol"]["split"].startswith("by task")
    names = {path.stem for path in (run.run_dir / "figures").glob("*.png")}
    assert {"overview", "early_warning", "loss", "ranks", "examples"} <= names
    assert run.verdict["status"] in (run.run_dir / "report.html").read_text()
    assert (run.run_dir / "checkpoints" / "best.ckpt").is_file()


def test_repeating_the_command_skips_a_finished_run(run: RunResult) -> None:
    again = train(arc_maker(run.run_dir.parents[2])())
    assert (again.state, again.run_dir) == ("skipped", run.run_dir)


@pytest.mark.parametrize(
    ("experiment", "at", "extra"),
    [
        ("arc_jepa", 3, []),
        (
            "arc_jepa",
            3,
            ["optim.accumulate=2", "loss.invariance.color=0.1", "loss.relational.weight=0.1"],
        ),
        ("arc_jepa", 3, ["vq.refresh.interval=1", "vq.refresh.threshold=0.9", *FRAMES]),
        ("arc_sixth_run", 2, ["vq.refresh.interval=14"]),
        ("arc_gumbel", 3, []),
        ("arc_jepa", 3, ["aux=[vicreg,dino]", "aux.vicreg.ramp=0.7"]),
    ],
)
def test_a_killed_run_resumes_with_the_same_bits(
    experiment: str,
    at: int,
    extra: list[str],
    make_arc: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The checkpoint has queue, temperature, codebook, target, schedule and place in the epoch."""
    expected = train(arc_maker(tmp_path / "uninterrupted")(*extra, experiment=experiment))
    make_callbacks = callbacks_of_arc.build_callbacks

    class Kill(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, *args: object) -> None:
            if trainer.global_step == at:
                raise KilledError

    monkeypatch.setattr(
        callbacks_of_arc, "build_callbacks", lambda *a: [Kill(), *make_callbacks(*a)]
    )
    config = make_arc(*extra, "monitor.save_every_s=0", experiment=experiment)
    with pytest.raises(KilledError):
        train(config)
    monkeypatch.setattr(callbacks_of_arc, "build_callbacks", make_callbacks)
    resumed = train(config)
    assert resumed.resumed
    known = weights(expected)
    assert all(torch.equal(v, known[k]) for k, v in weights(resumed).items())
    assert rows_without_time(resumed.run_dir) == rows_without_time(expected.run_dir)


def test_a_run_with_early_stopping_resumes_from_every_checkpoint_with_the_same_bits(
    make_arc: Make, tmp_path: Path
) -> None:
    extra = ("early_stop.patience=2", "dataset.epochs=3")
    expected = train(arc_maker(tmp_path / "uninterrupted")(*extra))
    sessions = []
    while not sessions or sessions[-1].state == "stopped":
        sessions.append(train(make_arc(*extra, "max_wall_s=1e-9")))
        assert len(sessions) < 20
    assert len(sessions) >= 3  # stopped at a validation, too
    assert sessions[-1].state == "completed"
    known = weights(expected)
    assert all(torch.equal(v, known[k]) for k, v in weights(sessions[-1]).items())
    assert rows_without_time(sessions[-1].run_dir) == rows_without_time(expected.run_dir)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_builds_with_finite_gradients_of_all_loss_parts(
    experiment: str, make_arc: Make
) -> None:
    parts = parts_of(make_arc(experiment=experiment))
    module, batch = parts.module.train(), next(iter(parts.loaders["train"]))
    loss = module.training_step(batch, 0)
    parts_sum = sum(float(part.detach()) for part in module.weighted.values())
    assert float(loss.detach()) == pytest.approx(parts_sum, rel=1e-5)
    loss.backward()
    grads = [p.grad for p in module.network.encoder.parameters() if p.grad is not None]
    assert grads
    assert all(bool(torch.isfinite(g).all()) for g in grads)
    assert sum(float(g.norm()) for g in grads) > 0
    module.eval().validation_step(next(iter(parts.loaders["val"])), 0)
    assert module.evaluated.reps.z_hat.shape == module.evaluated.copied.shape


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_optimiser_step_updates_the_codebook_and_the_queue_once(
    accumulate: int, make_arc: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jepa_lab.networks.vq.build import HardQuantizer

    moves = []
    taken_in = HardQuantizer.apply_statistics
    monkeypatch.setattr(
        HardQuantizer,
        "apply_statistics",
        lambda self, *a: (moves.append(float(a[0].sum())), taken_in(self, *a))[1],
    )
    extra = [
        "loss.invariance.color=0.1",
        "loss.invariance.symmetry=0.1",
        "vq.refresh.enabled=false",
    ]
    config = make_arc(*extra, "dataset.epochs=1", f"optim.accumulate={accumulate}")
    batches = len(parts_of(config).loaders["train"])
    result = train(config)
    assert result.module is not None
    steps = result.module.trainer.global_step
    assert steps == -(-batches // accumulate)
    assert len(moves) == steps
    assert len(result.module.objective.queue) == min(32, 8 * batches)


def test_the_published_codebook_is_updated_fourteen_times_per_step(
    make_arc: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jepa_lab.networks.vq.build import HardQuantizer

    moved: list[int] = []
    taken_in = HardQuantizer.apply_statistics
    monkeypatch.setattr(
        HardQuantizer,
        "apply_statistics",
        lambda self, *a: (moved.append(id(self)), taken_in(self, *a))[1],
    )
    result = train(
        make_arc("dataset.epochs=1", "dataset.train_tasks=32", experiment="arc_sixth_run")
    )
    assert result.module is not None
    own = sum(who == id(result.module.vq) for who in moved)
    # (1 context + 3 families of 2) of 2 micro-batches
    assert own == 14 * result.module.trainer.global_step
    assert moved.count(id(result.module.target_vq)) == 2 * result.module.trainer.global_step


@pytest.mark.parametrize("experiment", ["arc_jepa", "arc_sixth_run", "arc_gumbel", "arc_lejepa"])
def test_an_evaluation_changes_no_parameter_and_no_buffer(experiment: str, make_arc: Make) -> None:
    parts = parts_of(make_arc(experiment=experiment))
    module, batch = parts.module.train(), next(iter(parts.loaders["train"]))
    module.training_step(batch, 0)
    module.eval()
    before = {k: v.clone() for k, v in module.state_dict().items() if isinstance(v, torch.Tensor)}
    module.validation_step(next(iter(parts.loaders["val"])), 0)
    assert all(torch.equal(v, module.state_dict()[k]) for k, v in before.items())


def test_outputs_of_the_same_task_are_not_negatives(make_arc: Make) -> None:
    parts = parts_of(make_arc())
    module, batch = parts.module.train(), next(iter(parts.loaders["train"]))
    batch.task[:] = 3
    module.training_step(batch, 0)
    assert module.objective.negatives == 0
    assert float(module.terms["prediction"].detach()) == 0.0


def test_only_the_online_encoder_has_dropout(make_arc: Make) -> None:
    parts = parts_of(make_arc("model.dropout=0.5"))
    module, batch = parts.module.train(), next(iter(parts.loaders["train"]))
    first, second = (module.encode_target(batch.view.target)[0].vectors for _ in range(2))
    assert torch.equal(first, second)
    first, second = (module.network.encode(batch.view.target).vectors for _ in range(2))
    assert not torch.equal(first, second)


def test_a_run_without_improvement_stops_early_and_is_complete(make_arc: Make) -> None:
    config = make_arc(
        "early_stop.patience=2",
        "early_stop.min_delta=100",
        "dataset.epochs=9",
        "monitor.every_epochs=1",
    )
    result = train(config)
    assert result.state == "completed"
    assert len(history_of(result.run_dir)["val/skill"]) == 3
    assert "test/skill" in result.metrics


def preflight_of(config: ArcConfig) -> Preflight:
    return run_preflight(config, parts_of(config))


def test_the_preflight_names_the_defects_of_the_sixth_run_only(make_arc: Make) -> None:
    for experiment in ("arc_jepa", "arc_fsq", "arc_gumbel"):
        assert preflight_of(make_arc(experiment=experiment)).failures == []
    found = {
        check.name
        for check in preflight_of(make_arc(experiment="arc_sixth_run")).checks
        if check.failures
    }
    assert found == {"warmup", "contexts", "codebook_loss", "codebook_update", "codebook_norms"}


@pytest.mark.parametrize(
    ("overrides", "check", "message"),
    [
        (["vq.size=64"], "refresh", "vq.refresh.threshold"),
        (["vq.in_objective=true"], "codebook_loss", "vq.weight_on"),
        (["optim.warmup=0.5"], "warmup", "optim.warmup"),
    ],
)
def test_the_preflight_names_the_key_of_every_defect(
    overrides: list[str], check: str, message: str, make_arc: Make
) -> None:
    found = preflight_of(make_arc(*overrides, experiment="arc_sixth_run"))
    (lines,) = [c.failures for c in found.checks if c.name == check]
    assert message in lines[0]


def test_the_relational_self_term_can_be_minimised_alone(make_arc: Make) -> None:
    parts = parts_of(make_arc("loss.relational.weight=0", experiment="arc_sixth_run"))
    module = parts.module.train()
    module.training_step(next(iter(parts.loaders["train"])), 0)
    assert float(module.weighted["relational_self"].detach()) > 0
    assert "relational" not in module.weighted


def test_the_gumbel_temperature_reaches_its_end_after_gumbel_share(make_arc: Make) -> None:
    result = train(make_arc("vq.gumbel_share=0.1", "dataset.epochs=1", experiment="arc_gumbel"))
    assert result.module is not None
    assert result.module.vq.temperature == 0.1


def test_under_bf16_a_run_is_finite_and_its_codebook_stays_in_float32(make_arc: Make) -> None:
    result = train(make_arc("precision=bf16", "dataset.epochs=1", "loss.sigreg.weight=0.1"))
    assert result.state == "completed"
    assert result.module is not None
    assert result.module.vq.codebook.dtype == torch.float32
    assert all(
        math.isfinite(v)
        for k, v in result.metrics.items()
        if k.startswith(("train/loss/", "val/loss/"))
    )
