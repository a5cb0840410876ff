"""Small whole runs: their files, their metrics, and equal bits after a resume."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch
import yaml

from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import history_of
from jepa_lab.report.outcome import FROM_PYTHON
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa import callbacks
from jepa_lab.studies.seq_jepa.build import build_module
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.parts import build_loaders, build_views
from jepa_lab.training import logger_package
from jepa_lab.training.run import RunResult
from study_parts import load_data

Make = Callable[..., Config]

KEYS = [
    "train/loss/total",
    "train/loss/prediction",
    "train/loss/rate",
    "train/grad_norm",
    "val/loss/prediction",
    "val/loss/constant",
    "val/probe/class_from_z_agg",
    "val/probe/class_from_z",
    "val/probe/action_from_z",
    "val/probe/action_from_z_agg",
    "val/probe/relative_action_from_z",
    "val/probe/view_from_z_agg",
    "val/z_agg/within_share",
    "val/skill",
    "val/action_gain",
    "val/copy_gain",
    "reference/z/effective_rank",
    "reference/input/effective_rank",
    "reference/n_classes",
    "reference/probe/class_from_pixels",
    "reference/probe/class_from_untrained_z",
    "reference/probe/class_from_constant",
    "test/probe/class_from_z_agg",
    "test/z/rankme",
    "monitor/seconds",
    *[
        f"val/{tap}/{m}"
        for tap in ("z", "z_agg", "z_hat", "z_target")
        for m in ("effective_rank", "feature_std", "n")
    ],
]


def weights(result: RunResult) -> dict[str, torch.Tensor]:
    assert result.module is not None
    return {k: v.clone() for k, v in result.module.state_dict().items()}


def rows_without_time(path: Path) -> list[tuple[object, ...]]:
    table = pq.read_table(path / "metrics.parquet").to_pydict()
    rows = zip(table["step"], table["epoch"], table["key"], table["value"], strict=True)
    return [(s, e, k, repr(v)) for s, e, k, v in rows if not str(k).startswith("monitor/")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    make = make_config_at(tmp_path_factory.mktemp("finished"))
    return train(make())


def make_config_at(folder: Path, without: tuple[str, ...] = ()) -> Make:
    import conftest

    return conftest.maker(folder, without)


def test_a_run_logs_every_promised_key(finished: RunResult) -> None:
    missing = [key for key in KEYS if key not in finished.metrics]
    assert not missing


def test_a_run_writes_the_promised_files(finished: RunResult) -> None:
    status = json.loads((finished.run_dir / "status.json").read_text())
    summary = json.loads((finished.run_dir / "summary.json").read_text())
    config = yaml.safe_load((finished.run_dir / "config.yaml").read_text())
    assert status["state"] == "completed"
    assert status["run_id"] == finished.run_dir.name
    assert status["experiment"] == "teacherless_b"
    assert set(summary["metrics"]["val/skill"]) == {"last", "min", "max", "min_step", "max_step"}
    assert summary["verdict"]["status"]
    assert summary["tau"] is summary["teacher_memory_steps"] is None  # no teacher
    assert summary["parameters"]["trainable"] > 0
    assert summary["protocol"]["train_images"] == config["dataset"]["train_size"] == 256
    for name in ("last", "best"):
        assert (finished.run_dir / "checkpoints" / f"{name}.ckpt").stat().st_size > 1000
    for name in ("overview", "early_warning", "loss", "probes", "ranks", "views"):
        assert (finished.run_dir / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (finished.run_dir / "report.html").is_file()


def test_the_ledger_is_a_long_table_with_the_promised_types(finished: RunResult) -> None:
    schema = pq.read_schema(finished.run_dir / "metrics.parquet")
    assert [(f.name, str(f.type)) for f in schema] == [
        ("step", "int64"),
        ("epoch", "int64"),
        ("key", "string"),
        ("value", "double"),
        ("time", "double"),
    ]


def test_validation_is_on_fixed_views_in_evaluation_mode(make_config: Make) -> None:
    config = make_config("dataset.epochs=3", "monitor.every_epochs=1", experiment="random_init")
    history = history_of(train(config).run_dir)
    losses = [v for _, v in history["val/loss/prediction"]]
    ranks = [v for _, v in history["val/z_target/feature_std"]]
    assert len(losses) == 3
    assert len(ranks) == 3
    assert history["reference/z/n"] == [(0, 64.0 * 3)]


def test_a_finished_run_is_skipped_and_returns_its_result_again(
    finished: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished.run_dir / "metrics.parquet").stat().st_mtime_ns
    again = train(make_config_at(finished.run_dir.parents[2])())
    assert again.state == "skipped"
    assert again.monitored == finished.monitored
    assert (finished.run_dir / "metrics.parquet").stat().st_mtime_ns == before
    assert "finished before" in capsys.readouterr().out


def test_the_same_configuration_gives_the_same_bits(finished: RunResult, make_config: Make) -> None:
    again = train(make_config())
    assert again.run_dir.name == finished.run_dir.name
    assert all(torch.equal(v, weights(again)[k]) for k, v in weights(finished).items())
    assert rows_without_time(again.run_dir) == rows_without_time(finished.run_dir)


class KilledError(Exception):
    pass


@pytest.mark.parametrize(
    ("experiment", "at", "extra"),
    [
        ("teacherless_b", 3, []),
        ("seq_jepa_baseline", 6, []),
        ("seq_jepa_baseline", 3, ["optim.accumulate=2"]),
    ],
)
def test_a_run_resumed_after_an_exception_has_the_same_bits(
    experiment: str,
    at: int,
    extra: list[str],
    make_config: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run saves at every optimiser step, fails at step `at` within an epoch of four batches,
    and is resumed."""
    other = make_config_at(tmp_path / "uninterrupted")
    expected = train(other(*extra, experiment=experiment))
    make_callbacks = callbacks.build_callbacks

    class Kill(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, *args: object) -> None:
            if trainer.global_step == at:
                raise KilledError

    monkeypatch.setattr(callbacks, "build_callbacks", lambda *a: [Kill(), *make_callbacks(*a)])
    config = make_config(*extra, "monitor.save_every_s=0", experiment=experiment)
    with pytest.raises(KilledError):
        train(config)
    monkeypatch.setattr(callbacks, "build_callbacks", make_callbacks)
    resumed = train(config)
    assert resumed.resumed
    assert all(torch.equal(v, weights(resumed)[k]) for k, v in weights(expected).items())
    assert rows_without_time(resumed.run_dir) == rows_without_time(expected.run_dir)


def test_an_exception_leaves_the_state_failed_and_the_ledger(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr("jepa_lab.studies.seq_jepa.module.SeqJEPA.training_step", broken)
    with pytest.raises(RuntimeError, match="no more"):
        train(make_config())
    (status,) = (json.loads(p.read_text()) for p in tmp_path.rglob("status.json"))
    assert status["state"] == "failed"
    assert "no more" in status["reason"]
    assert "reference/z/effective_rank" in history_of(next(tmp_path.rglob("metrics.parquet")))


def test_a_loss_that_is_not_finite_ends_the_run_with_the_verdict_diverged(
    make_config: Make,
) -> None:
    result = train(
        make_config("optim.lr=1e30", "optim.clip=null", "optim.warmup=0", "dataset.epochs=4")
    )
    assert result.state == "failed"
    assert result.verdict["status"] == "diverged"
    assert "not finite" in json.loads((result.run_dir / "status.json").read_text())["reason"]


@pytest.mark.parametrize(
    "experiment", ["random_init", "raw_pixels", "supervised", "seq_jepa_shared"]
)
def test_reference_runs_have_the_same_probes(experiment: str, make_config: Make) -> None:
    metrics = train(make_config("dataset.epochs=1", experiment=experiment)).metrics
    assert 0.0 <= metrics["test/probe/class_from_z_agg"] <= 1.0
    assert "test/probe/action_from_z" in metrics
    assert 0.0 < metrics["reference/probe/class_from_untrained_z"] <= 1.0


@pytest.mark.slow
def test_gradient_through_both_branches_gets_the_verdict_collapse(tmp_path: Path) -> None:
    small = ("encoder.widths", "model.", "dataset.train_size", "dataset.val_size", "probes.hidden")
    make = make_config_at(tmp_path, without=small)
    verdict = train(make("target=shared", "loss.lambda_rate=0", "dataset.epochs=12")).verdict
    assert verdict["status"] in ("complete_collapse", "dimensional_collapse")
    assert verdict["tap"] == "z"
    assert verdict["since_step"] is not None


def test_a_frozen_network_stays_as_it_was_initialised(make_config: Make) -> None:
    config = make_config("dataset.epochs=1", experiment="random_init")
    splits = load_data(config)
    pl.seed_everything(config.seed, verbose=False)
    start = build_module(config, build_views(config, splits.train), splits.train, 4)
    result = train(config)
    parameters = dict(start.named_parameters())
    assert result.module is not None
    assert all(torch.equal(p, parameters[k]) for k, p in result.module.named_parameters())


def test_unlabelled_user_defined_images_train_without_class_probes(
    make_config: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", images=rng.integers(0, 256, (300, 3, 12, 12), dtype=np.uint8))
    own = [
        "dataset=npz",
        f"dataset.path={tmp_path / 'own.npz'}",
        "encoder=resnet_small",
        "model=seq_jepa_small",
    ]
    metrics = train(
        make_config(*own, "dataset.train_size=null", "dataset.val_size=null", "dataset.epochs=1")
    ).metrics
    assert "val/probe/class_from_z" not in metrics
    assert "reference/probe/class_from_constant" not in metrics
    assert "val/probe/action_from_z" in metrics
    assert "no labels: class probes are off" in capsys.readouterr().err


@pytest.mark.parametrize("dataset", ["digits_affine", "digits_rot"])
@pytest.mark.parametrize("v", [2, 3, 5])
def test_any_number_of_views_trains(dataset: str, v: int, make_config: Make) -> None:
    metrics = train(
        make_config(f"dataset={dataset}", f"dataset.n_views={v}", "dataset.epochs=1")
    ).metrics
    assert ("val/probe/relative_action_from_z" in metrics) == (v >= 4)
    assert np.isfinite(metrics["val/loss/prediction"])


def test_mnist_on_disk_trains(make_config: Make, data_folder: Path) -> None:
    metrics = train(
        make_config("dataset=mnist_rot", f"dataset.root={data_folder}", "dataset.epochs=1")
    ).metrics
    assert metrics["reference/n_classes"] == 10


def test_tensorboard_without_its_package_is_refused_before_any_write(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(logger_package, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install"):
        train(make_config("logger=tensorboard"))
    assert not list(tmp_path.rglob("*.yaml"))


def test_bf16_keeps_the_published_features_in_float32(make_config: Make) -> None:
    result = train(make_config("precision=bf16", "dataset.epochs=1"))
    assert result.module is not None
    assert result.module.representations is not None
    assert result.module.representations.z.dtype == torch.float32


@pytest.mark.parametrize("logger", ["csv", "wandb", "tensorboard"])
def test_other_loggers_write_beside_the_ledger_without_a_network(
    logger: str, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    if logger == "tensorboard":
        pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wanted = {
        "csv": "csv/metrics.csv",
        "wandb": "wandb/offline-run-*",
        "tensorboard": "tensorboard/events.*",
    }
    result = train(make_config(f"logger={logger}", "dataset.epochs=1"))
    assert list(result.run_dir.glob(wanted[logger]))


def test_on_existing_error_refuses_a_run_and_restart_repeats_it(make_config: Make) -> None:
    first = train(make_config("dataset.epochs=1"))
    with pytest.raises(UserError, match="this run exists"):
        train(make_config("dataset.epochs=1", "on_existing=error"))
    again = train(make_config("dataset.epochs=1", "on_existing=restart"))
    assert again.state == "completed"
    assert again.run_dir == first.run_dir


def test_training_views_change_every_epoch_and_validation_views_do_not(make_config: Make) -> None:
    config = make_config()
    splits = load_data(config)
    module = build_module(config, build_views(config, splits.train), splits.train, 4)
    batch = next(iter(build_loaders(config, splits)["train"]))
    val = next(iter(build_loaders(config, splits)["val"]))
    first, first_val = (
        module.on_after_batch_transfer(batch, 0),
        module.on_after_batch_transfer(val, 0),
    )
    type(module).current_epoch = property(lambda self: 1)  # type: ignore[method-assign,assignment]
    try:
        second, second_val = (
            module.on_after_batch_transfer(batch, 0),
            module.on_after_batch_transfer(val, 0),
        )
    finally:
        del type(module).current_epoch
    assert not torch.equal(first.params, second.params)
    assert torch.equal(first_val.params, second_val.params)


def test_the_page_of_a_run_started_from_python_mentions_it(finished: RunResult) -> None:
    assert html.escape(FROM_PYTHON) in (finished.run_dir / "report.html").read_text()
