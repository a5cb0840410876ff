"""Frozen evaluation: readouts with a known answer, intervals, and the command on a run's folder."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from jepa_lab import evaluate as command
from jepa_lab.errors import UserError
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.evaluation.bootstrap import accuracy, r_squared, resampling_weights
from jepa_lab.studies.seq_jepa.evaluation.equivariance import (
    copy_error,
    linear_action_map_error,
    predictor_error,
)
from jepa_lab.studies.seq_jepa.evaluation.features import collect
from jepa_lab.studies.seq_jepa.evaluation.loading import load_run, views_of
from jepa_lab.studies.seq_jepa.evaluation.readouts import CLASSIFIERS, REGRESSIONS

Make = Callable[..., Config]
RNG = np.random.default_rng(0)


# readouts


@pytest.mark.parametrize("readout", list(CLASSIFIERS))
def test_classifier_separates_classes_and_is_at_chance_on_noise(readout: str) -> None:
    labels = np.repeat(np.arange(4), 60)
    x = np.eye(4)[labels] * 5 + RNG.normal(size=(240, 4))
    noise = RNG.normal(size=(240, 4))
    fit = CLASSIFIERS[readout]
    order = RNG.permutation(240)
    a, b = order[:160], order[160:]
    assert (fit(x[a], labels[a], x[b], labels[b], x[b]) == labels[b]).mean() > 0.95
    assert (fit(noise[a], labels[a], noise[b], labels[b], noise[b]) == labels[b]).mean() < 0.5


@pytest.mark.parametrize("readout", list(CLASSIFIERS))
def test_readouts_ignore_the_scale_of_a_feature(readout: str) -> None:
    labels = np.repeat(np.arange(3), 50)
    x = np.eye(3)[labels] + RNG.normal(size=(150, 3))
    fit, scale = CLASSIFIERS[readout], np.array([1.0, 1e4, 1e-4])
    plain = fit(x, labels, x, labels, x)
    assert (fit(x * scale, labels, x * scale, labels, x * scale) == plain).mean() > 0.98


@pytest.mark.parametrize("readout", list(REGRESSIONS))
def test_regression_recovers_a_linear_map_in_any_unit(readout: str) -> None:
    x = RNG.normal(size=(600, 5))
    y = x @ RNG.normal(size=(5, 2)) * np.array([1.0, 100.0])
    found = REGRESSIONS[readout](x[:400], y[:400], x[400:500], y[400:500], x[500:])
    mean, per_dim = r_squared(found, y[500:], resampling_weights(100, 50))
    assert mean is not None
    assert mean.value > 0.9
    assert all(d is not None and d.value > 0.85 for d in per_dim)


# intervals


def test_interval_of_an_accuracy_is_binomial() -> None:
    correct = np.arange(400) < 300
    found = accuracy(correct, resampling_weights(400, 4000))
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found.value == 0.75
    assert found.low == pytest.approx(0.75 - half, abs=0.006)
    assert found.high == pytest.approx(0.75 + half, abs=0.006)


def test_r_squared_equals_scikit_learn_and_skips_constant_dimensions() -> None:
    from sklearn.metrics import r2_score

    y = np.concatenate([RNG.normal(size=(200, 2)), np.ones((200, 1))], axis=1)
    p = y + 0.5 * RNG.normal(size=(200, 3))
    mean, per_dim = r_squared(p, y, resampling_weights(200, 200))
    assert mean is not None
    assert mean.value == pytest.approx(r2_score(y[:, :2], p[:, :2]))
    assert mean.low < mean.value < mean.high
    assert per_dim[2] is None
    assert r_squared(p[:, 2:], y[:, 2:], resampling_weights(200, 10)) == (None, [None])


# equivariance


def test_linear_actions_have_no_error_and_scrambled_actions_have() -> None:
    def features(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        start, turn = torch.rand(n, 1) * 2 * math.pi, torch.rand(n, 2) * 2 * math.pi
        angle = torch.cat([start, start + turn[:, :1], start + turn.sum(1, keepdim=True)], dim=1)
        return torch.stack([angle.cos(), angle.sin()], -1), torch.stack(
            [turn.sin(), turn.cos()], -1
        )

    (z, a), (z_test, a_test) = features(500), features(200)
    assert linear_action_map_error(z, a, z_test, a_test) < 1e-4
    # actions of other images
    assert linear_action_map_error(z, a.flip(0), z_test, a_test.flip(0)) > 0.9
    assert copy_error(z_test) > 1.0
    assert predictor_error(3 * z[:, 1], z[:, 1]) == pytest.approx(0.0, abs=1e-9)  # lengths are free
    assert predictor_error(z.mean((0, 1)).expand(500, 2), z[:, 1]) > 0.9


# a run's folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import conftest

    return train(conftest.maker(tmp_path_factory.mktemp("run"))("dataset=digits_affine")).run_dir


def arguments(folder: Path, *more: str) -> list[str]:
    return [str(folder), "--limit", "60", "--anchors", "5", "--views", "1,2", *more]


def test_features_come_from_the_frozen_encoder_and_are_reproducible(finished: Path) -> None:
    run = load_run(finished)
    group = views_of(run.config, run.splits, 5)

    def once() -> torch.Tensor:
        f = collect(
            run.network,
            group,
            run.splits.val,
            split="val",
            seed=0,
            views=[2, 4],
            trained_on=3,
            limit=20,
        )
        assert f.z.shape[:2] == (20, 5)
        assert set(f.z_agg) == {2, 4}
        assert torch.allclose(f.path[2], f.actions[:, 0], atol=1e-6)
        return f.z_agg[4]

    before = {k: v.clone() for k, v in run.network.state_dict().items()}
    assert torch.equal(once(), once())
    assert all(torch.equal(v, before[k]) for k, v in run.network.state_dict().items())
    assert not any(p.requires_grad for p in run.network.parameters())


def test_command_writes_every_figure_with_interval_and_protocol(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(arguments(finished))
    content = json.loads((finished / "evaluation.json").read_text())
    rows = {f["row"] for f in content["figures"]}
    assert rows == {"this run", "raw pixels", "random init"}
    assert "supervised" in content["missing"]
    questions = {f["question"] for f in content["figures"]}
    assert {
        "class from z",
        "class from z_agg",
        "action from z",
        "relative action from z",
        "action from z, trans_x",
        "view from z_agg, actions zeroed",
        "within share of z_agg",
        "class gap (z_agg less z)",
        "error of the best linear action map",
        "path of 3 views from z_agg",
    } <= questions
    assert {f["views"] for f in content["figures"] if f["question"] == "class from z_agg"} == {
        1,
        2,
        3,
    }
    assert all(
        f["low"] <= f["value"] + 0.2 and f["value"] <= f["high"] + 0.2 for f in content["figures"]
    )
    assert content["protocol"]["images"] == {"train": 60, "val": 60, "test": 60}
    assert content["sweeps"]["anchors"] == 5
    assert "rot/circle_fit" in content["sweeps"]["metrics"]
    assert [step["k"] for step in content["rollout"]["steps"]] == [1, 2, 3, 4, 5]
    assert content["rollout"]["shortened"] is None
    for name in ("evaluation", "feature_map", "sweep_trajectories", "rollout"):
        assert (finished / "figures" / f"{name}.png").stat().st_size > 10_000
    out = capsys.readouterr().out
    assert "no row supervised" in out
    assert "bootstrap" in out


def test_supervised_run_beside_the_run_becomes_a_row(
    make_config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train(make_config()).run_dir
    train(make_config(experiment="supervised"))
    command.main(arguments(folder, "--rows", "supervised"))
    content = json.loads((folder / "evaluation.json").read_text())
    assert {f["row"] for f in content["figures"]} == {"this run", "supervised"}


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(bytes(content))


def text_for_a_step(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    torch.save({**state, "global_step": "x"}, path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: shutil.rmtree(p), "no such folder"),
        (lambda p: (p / "config.yaml").unlink(), "a folder without config.yaml"),
        (lambda p: shutil.rmtree(p / "checkpoints"), "no checkpoints/last.ckpt"),
        (lambda p: (p / "checkpoints" / "last.ckpt").write_bytes(b"x" * 100), "not a checkpoint"),
        (
            lambda p: replace_by_folder(p / "checkpoints" / "last.ckpt"),
            "last.ckpt: a folder is there",
        ),
        (lambda p: flip_a_bit(p / "checkpoints" / "last.ckpt"), "wrong checksum"),
        (
            lambda p: (p / "config.yaml").write_text("study: linear_byol\n"),
            "a run of the study linear_byol",
        ),
        (lambda p: (p / "config.yaml").write_text("a: [1\n"), "not a readable configuration"),
        (
            lambda p: (p / "config.yaml").write_text(
                (p / "config.yaml").read_text().replace("depth: 1", "depth: 2")
            ),
            "not a checkpoint of this configuration",
        ),
        (
            lambda p: text_for_a_step(p / "checkpoints" / "last.ckpt"),
            "not a checkpoint of this configuration",
        ),
    ],
)
def test_folder_that_cannot_be_evaluated_gets_a_one_line_error(
    damage: Callable[[Path], None],
    says: str,
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    damage(folder)
    with pytest.raises(SystemExit) as end:
        command.main(arguments(folder))
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "more",
    [
        ["--views", "0"],
        ["--views", "two"],
        ["--rows", "raws"],
        ["--limit", "-1"],
        ["--limit", "12"],
    ],
)
def test_invalid_options_are_refused(
    more: list[str], finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        command.main([str(finished), *more])
    assert end.value.code == 2


def test_run_of_an_older_schema_loads_with_todays_defaults(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    shutil.copytree(finished, folder)
    text = (folder / "config.yaml").read_text()
    kept = [
        line
        for line in text.splitlines()
        if "action_conditioning" not in line and "action_bn" not in line
    ]
    (folder / "config.yaml").write_text("\n".join(kept))
    assert load_run(folder).config.model.action_conditioning


def test_class_questions_are_left_out_without_labels(make_config: Make, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (200, 1, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", images=images)
    own = [
        "dataset=npz",
        f"dataset.path={tmp_path / 'own.npz'}",
        "encoder=resnet_small",
        "model=seq_jepa_small",
    ]
    folder = train(make_config(*own, "dataset.batch_size=16")).run_dir
    command.main(arguments(folder, "--rows", "none"))
    content = json.loads((folder / "evaluation.json").read_text())
    assert not [f for f in content["figures"] if "class" in f["question"]]
    assert (folder / "figures" / "evaluation.png").is_file()


def test_missing_data_gives_a_one_line_error(make_config: Make, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (200, 1, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", images=images)
    own = [
        "dataset=npz",
        f"dataset.path={tmp_path / 'own.npz'}",
        "encoder=resnet_small",
        "model=seq_jepa_small",
    ]
    folder = train(make_config(*own, "dataset.batch_size=16")).run_dir
    (tmp_path / "own.npz").unlink()
    with pytest.raises(UserError, match="no such file"):
        load_run(folder)


def test_constant_pixels_do_not_break_the_readout() -> None:
    """A black border with float32 rounding, which gave an R² of -872,215 when it was scaled up."""
    x = np.concatenate(
        [RNG.normal(size=(200, 3)), -0.965 + 5e-6 * RNG.normal(size=(200, 5))], axis=1
    )
    y = x[:, :1] * 2.0
    test = x[150:].copy()
    test[:, 3:] += 0.05  # a pixel of the border that is not black in one image
    found = REGRESSIONS["linear"](x[:100], y[:100], x[100:150], y[100:150], test)
    assert np.abs(found - y[150:]).max() < 1.0


def test_run_trained_on_four_views_is_evaluated_on_four_and_more(make_config: Make) -> None:
    from jepa_lab.studies.seq_jepa.evaluation.frozen import all_features

    run = load_run(
        train(make_config("dataset=digits_aug", "dataset.action_norm=legacy_l2_views")).run_dir
    )
    short, long = (
        all_features(run.network, run, views, 60)["test"] for views in ([1, 3], [1, 3, 12])
    )
    assert torch.equal(short.z, long.z)
    assert torch.equal(short.actions, long.actions)
    assert torch.equal(short.z_agg[3], long.z_agg[3])
    assert set(long.z_agg) == {1, 3, 12}
    target = run.config.dataset.n_views - 1
    assert short.z.shape[1] == target + 1  # the last one is drawn as in training: rarely blurred


def test_gap_is_computed_at_the_number_of_views_in_training(finished: Path) -> None:
    command.main(arguments(finished, "--views", "1,5", "--rows", "none"))
    figures = json.loads((finished / "evaluation.json").read_text())["figures"]

    def value(question: str, views: int | None) -> float:
        (found,) = (
            f["value"]
            for f in figures
            if (f["question"], f["readout"], f["views"]) == (question, "linear", views)
        )
        return float(found)

    gap = value("class gap (z_agg less z)", 3)
    assert gap == pytest.approx(value("class from z_agg", 3) - value("class from z", None))


def test_single_upright_view_has_no_within_share(make_config: Make) -> None:
    result = train(make_config("dataset.n_views=2"))
    assert not [k for k in result.metrics if k.endswith("z_agg/within_share")]
    command.main(arguments(result.run_dir, "--rows", "none"))
    figures = json.loads((result.run_dir / "evaluation.json").read_text())["figures"]
    assert "within share of z_agg" not in {f["question"] for f in figures}
    assert "within share of z" in {f["question"] for f in figures}
