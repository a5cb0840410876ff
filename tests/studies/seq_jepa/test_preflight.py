"""The preflight: silent without a problem, otherwise a line with the key, and no effect on
training."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jepa_lab.config.groups import conf_dir, options_of
from jepa_lab.data.views.view_group import ViewGroup
from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import history_of
from jepa_lab.losses import RateLoss
from jepa_lab.networks.ema import make_ema_copy
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa import network
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.studies.seq_jepa.network import SeqJEPANetwork
from jepa_lab.studies.seq_jepa.preflight import run_preflight, sample
from jepa_lab.training.preflight import Preflight
from jepa_lab.training.run import RunResult
from study_parts import load_data, prepare

Make = Callable[..., Config]
NAMES = [
    "warmup",
    "augmentation",
    "contexts",
    "target",
    "evaluation",
    "loss_terms",
    "save_and_load",
]


def preflight(config: Config) -> Preflight:
    splits = load_data(config)
    parts = prepare(config, splits)
    return run_preflight(config, splits, parts.module, parts.budget)


def failed(config: Config) -> dict[str, tuple[str, ...]]:
    return {check.name: check.failures for check in preflight(config).checks if check.failures}


def weights(result: RunResult) -> dict[str, Tensor]:
    assert result.module is not None
    return {k: v.clone() for k, v in result.module.state_dict().items()}


def rows(result: RunResult) -> dict[str, list[tuple[int, str]]]:
    history = history_of(result.run_dir)
    return {
        k: [(s, repr(v)) for s, v in p] for k, p in history.items() if not k.startswith("monitor/")
    }


# experiments of another study, or with the checks of another experiment
ELSEWHERE = ("linear_byol", "arc_", "search_", "aux_comparison_simple")
EXPERIMENTS = [e for e in options_of(conf_dir() / "experiment") if not e.startswith(ELSEWHERE)]
DATASETS = [d for d in options_of(conf_dir() / "dataset") if d.startswith("digits")]
PAIRS = [(e, "digits_rot") for e in EXPERIMENTS] + [
    ("teacherless_c", d) for d in DATASETS
]  # C has A's checks, reversed


@pytest.mark.parametrize(("experiment", "dataset"), sorted(set(PAIRS)))
def test_every_experiment_and_every_kind_of_views_passes(
    experiment: str, dataset: str, make_config: Make
) -> None:
    found = preflight(make_config(f"dataset={dataset}", experiment=experiment))
    assert found.failures == []
    assert [check.name for check in found.checks] == NAMES


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.dropout=0.3"],
        ["loss=dino", "target=ema"],
        ["loss=dino_headless"],
        ["loss=sharpened"],
        ["target=ema", "target.bn_buffers=own_running"],
        ["target=ema", "target.bn_buffers=copied"],
        ["model.action_bn=two_calls"],
        ["model/predictor=crate"],
        ["optim=adam_constant"],
        ["optim.accumulate=2"],
        ["dataset.n_views=2"],
        ["loss.rate_target=z", "loss.rate_form=simdino"],
        ["precision=bf16"],
    ],
)
def test_every_option_that_may_hide_state_passes(overrides: list[str], make_config: Make) -> None:
    assert failed(make_config(*overrides)) == {}


def test_check_without_a_subject_is_reported_as_skipped(make_config: Make) -> None:
    found = preflight(make_config(experiment="raw_pixels"))
    assert [check.name for check in found.checks if check.skipped] == [
        "warmup",
        "target",
        "loss_terms",
    ]
    summary = found.to_dict("warn")
    assert summary["checks"]["loss_terms"] == "not applicable: encoder=pixels has no parameters"
    assert summary["checks"]["contexts"] == "passed"
    assert summary["failed"] == []


def test_sample_is_spread_over_the_images_and_not_longer_than_they_are(make_config: Make) -> None:
    source = load_data(make_config()).train
    assert sample("train", source)[1].tolist() == [0, 36, 72, 109, 145, 182, 218, 255]
    assert sample("train", source, 1000)[1].tolist() == list(range(256))


@pytest.mark.parametrize("overrides", [["model.dropout=0.3"], ["target=ema", "loss=dino"]])
def test_preflight_changes_no_bit_of_the_run(
    overrides: list[str], make_config: Make, tmp_path: Path
) -> None:
    import conftest

    with_it = train(make_config(*overrides, "preflight=warn"))
    without = train(conftest.maker(tmp_path / "off")(*overrides, "preflight=off"))
    assert with_it.run_dir.name == without.run_dir.name  # the run id does not depend on it
    assert rows(with_it) == rows(without)
    other = weights(without)
    assert all(torch.equal(value, other[key]) for key, value in weights(with_it).items())


def test_preflight_leaves_module_and_random_streams_unchanged(make_config: Make) -> None:
    config = make_config("model.dropout=0.3", "target=ema", "loss=dino")
    splits = load_data(config)
    parts = prepare(config, splits)
    before = {
        k: v.clone() for k, v in [*parts.module.named_parameters(), *parts.module.named_buffers()]
    }
    streams = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[union-attr]
    modes = [m.training for m in parts.module.modules()]
    run_preflight(config, splits, parts.module, parts.budget)
    after = dict([*parts.module.named_parameters(), *parts.module.named_buffers()])
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert all(p.grad is None for p in parts.module.parameters())
    assert torch.equal(streams[0], torch.get_rng_state())
    assert streams[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[union-attr]
    assert modes == [m.training for m in parts.module.modules()]
    assert (parts.module.batch, parts.module.terms, parts.module.weighted) == (None, {}, {})


def test_resumed_run_has_the_same_preflight_and_the_same_bits(
    make_config: Make, tmp_path: Path
) -> None:
    import conftest

    whole = train(conftest.maker(tmp_path / "whole")("model.dropout=0.3", "preflight=off"))
    first = train(make_config("model.dropout=0.3", "preflight=warn", "max_wall_s=1e-9"))
    assert first.state == "stopped"
    resumed = train(make_config("model.dropout=0.3", "preflight=warn"))
    assert resumed.resumed
    assert rows(resumed) == rows(whole)
    summary = json.loads((resumed.run_dir / "summary.json").read_text())["preflight"]
    assert list(summary["checks"]) == NAMES
    assert summary["failed"] == []


def test_summary_has_the_failed_checks_and_their_duration(
    make_config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(make_config("preflight=warn", "optim.warmup=0.5", "dataset.epochs=1"))
    line = "optim.warmup=0.5: half of the run is warm-up; at most 20 % would be usual"
    summary = json.loads((result.run_dir / "summary.json").read_text())["preflight"]
    assert result.state == "completed"
    assert (summary["mode"], summary["failed"], summary["checks"]["warmup"]) == (
        "warn",
        ["warmup"],
        [line],
    )
    assert summary["seconds"] > 0
    assert f"preflight: {line}\n" in capsys.readouterr().err


def test_preflight_off_checks_nothing(
    make_config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(make_config("preflight=off", "optim.warmup=0.5", "dataset.epochs=1"))
    assert "preflight" not in json.loads((result.run_dir / "summary.json").read_text())
    assert "preflight" not in capsys.readouterr().err


def test_preflight_strict_fails_before_anything_is_written(
    make_config: Make, tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"^preflight: optim\.warmup=0\.5: half of the run is warm-up"
    ):
        train(make_config("preflight=strict", "optim.warmup=0.5"))
    assert not (tmp_path / "runs").exists()
    assert train(make_config("preflight=strict", "dataset.epochs=1")).state == "completed"


def test_preflight_warns_by_default_and_rejects_unknown_modes(make_config: Make) -> None:
    import conftest

    assert conftest.maker(Path("runs"), without=("preflight",))().preflight == "warn"
    with pytest.raises(UserError, match=r"^preflight=maybe: expected one of warn, strict, off$"):
        make_config("preflight=maybe")
    assert make_config("preflight=false").preflight == "off"  # YAML reads an unquoted off as false


# a failure of each check


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["optim.warmup=0.5"], "optim.warmup=0.5: half of the run is warm-up"),
        (
            ["optim.warmup_epochs=2", "dataset.epochs=4"],
            "optim.warmup_epochs=2 of dataset.epochs=4: half",
        ),
        (
            ["optim.warmup_epochs=2", "dataset.epochs=1"],
            "optim.warmup_epochs=2 of dataset.epochs=1: all",
        ),
        (["optim.warmup=0.21"], "optim.warmup=0.21: 21 %"),
    ],
)
def test_long_warm_up_fails_and_the_line_names_its_key(
    overrides: list[str], line: str, make_config: Make
) -> None:
    assert failed(make_config(*overrides))["warmup"][0].startswith(line)
    assert "warmup" not in failed(make_config("optim.warmup=0.2"))


def test_range_with_only_the_identity_fails(make_config: Make) -> None:
    still = ["dataset=digits_affine", "dataset.mode=rot_only", "dataset.rotation=[0,0]"]
    found = failed(make_config(*still))
    assert "all drawn alike" in found["augmentation"][0]
    assert "dataset.rotation=[0.0, 0.0]" in found["augmentation"][0]
    assert "copies of one another" in found["contexts"][0]


def test_views_that_do_not_follow_their_parameters_fail(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = ViewGroup.render

    def untouched(self: ViewGroup, images: Tensor, params: Tensor) -> Tensor:
        return rendered(self, images, params[:, :1].expand_as(params))

    monkeypatch.setattr(ViewGroup, "render", untouched)
    found = failed(make_config())
    assert (
        "transformed views are equal to the first: dataset.views=rotation"
        in found["augmentation"][0]
    )
    assert "contexts" in found


def test_equal_views_in_every_epoch_fail(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = ViewGroup.draw
    monkeypatch.setattr(
        ViewGroup, "draw", lambda self, index, **k: drawn(self, index, **{**k, "epoch": 0})
    )
    assert failed(make_config()).keys() == {"augmentation"}
    assert "two epochs draw the same views" in failed(make_config())["augmentation"][0]


def test_copied_contexts_fail_though_the_target_differs(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = ViewGroup.render

    def copied(self: ViewGroup, images: Tensor, params: Tensor) -> Tensor:
        views = rendered(self, images, params)
        return torch.cat([views[:, :1].expand_as(views[:, :-1]), views[:, -1:]], dim=1)

    monkeypatch.setattr(ViewGroup, "render", copied)
    assert "dataset.n_views=4" in failed(make_config("dataset.first_view=random"))["contexts"][0]


def test_equal_images_fail_and_the_line_names_the_file(make_config: Make, tmp_path: Path) -> None:
    def own(name: str, train_images: np.ndarray) -> list[str]:
        np.savez(
            tmp_path / name,
            train_images=train_images,
            val_images=noise[:50],
            test_images=noise[50:],
        )
        network = ["encoder=resnet_small", "model=seq_jepa_small"]
        return ["dataset=npz", f"dataset.path={tmp_path / name}", *network]

    noise = np.random.default_rng(0).integers(0, 256, (100, 1, 12, 12), dtype=np.uint8)
    (line,) = failed(make_config(*own("same.npz", np.repeat(noise[:1], 300, axis=0))))["contexts"]
    assert (
        line == "8 training images, or their observed views, are all the same:"
        f" dataset.path={tmp_path / 'same.npz'}"
    )
    assert failed(make_config(*own("noise.npz", np.repeat(noise, 3, axis=0)))) == {}


def test_equal_contexts_for_all_images_fail(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = ViewGroup.render
    monkeypatch.setattr(
        ViewGroup,
        "render",
        lambda self, images, params: rendered(self, images[:1].expand_as(images), params * 0),
    )
    assert "are all the same: dataset=digits_rot" in failed(make_config())["contexts"][-1]


def test_target_that_is_not_a_copy_fails(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(encoder: nn.Module, own_running: bool = False) -> nn.Module:
        copied = make_ema_copy(encoder, own_running)
        next(copied.parameters()).data.add_(1e-6)
        return copied

    monkeypatch.setattr(network, "make_ema_copy", another)
    (line,) = failed(make_config("target=ema"))["target"]
    assert line.startswith("target=ema: stem.0.weight of the average differs")


def test_target_that_would_be_trained_fails(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        network, "make_ema_copy", lambda encoder, own: make_ema_copy(encoder).requires_grad_(True)
    )
    assert "trained by the optimiser" in failed(make_config("target=ema"))["target"][0]


def test_batch_norm_that_changes_in_evaluation_fails(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = SeqJEPA.validation_step

    def learning(self: Any, batch: Any, index: int) -> None:
        self.network.encoder.train()
        step(self, batch, index)

    monkeypatch.setattr(SeqJEPA, "validation_step", learning)
    found = failed(make_config())
    assert found.keys() == {"evaluation"}
    assert found["evaluation"][0].startswith("evaluation changes network.encoder.")
    assert found["evaluation"][0].endswith(": encoder=resnet_small")


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        (lambda rate: rate.detach(), "has no gradient"),
        (lambda rate: rate * 0.0, "has no gradient"),
        (lambda rate: rate * torch.nan, "has a gradient of NaN or inf"),
    ],
)
def test_term_without_a_gradient_fails_and_the_line_names_its_weight(
    fault: Callable[[Tensor], Tensor],
    wrong: str,
    make_config: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forward = RateLoss.forward
    monkeypatch.setattr(RateLoss, "forward", lambda self, z_agg, z: fault(forward(self, z_agg, z)))
    (line,) = failed(make_config("loss.rate_target=z"))["loss_terms"]
    assert line == f"loss term rate {wrong}: loss.lambda_rate=0.003 with loss.rate_target=z"


def test_detached_encoder_fails_in_every_term(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = SeqJEPANetwork.encode
    monkeypatch.setattr(SeqJEPANetwork, "encode", lambda self, *args: encode(self, *args).detach())
    lines = failed(make_config())["loss_terms"]
    assert [line.split()[2] for line in lines] == ["prediction", "rate"]


def test_run_without_a_loss_fails_unless_its_learning_rate_is_zero(make_config: Make) -> None:
    nothing = ["+loss.prediction=0", "loss.lambda_rate=0"]
    assert "no loss term has a weight" in failed(make_config(*nothing))["loss_terms"][0]
    assert failed(make_config(*nothing, "optim.lr=0")) == {}


def test_state_outside_the_checkpoint_fails(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = SeqJEPANetwork.encode

    def counted(self: Any, views: Tensor, encoder: nn.Module | None = None) -> Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        return encode(self, views * (1 + 0.01 * self.calls), encoder)

    monkeypatch.setattr(SeqJEPANetwork, "encode", counted)
    found = failed(make_config())
    assert found.keys() == {"save_and_load"}
    assert found["save_and_load"][0].startswith(
        "a step after saving and loading differs in network."
    )


def test_check_that_raises_has_failed_and_the_run_shows_why(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(SeqJEPA, "training_step", broken)
    with pytest.raises(RuntimeError, match="no more"):
        train(make_config("preflight=warn"))
    assert (
        "preflight: the check loss_terms itself failed: RuntimeError: no more"
        in capsys.readouterr().err
    )
