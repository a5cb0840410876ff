"""The accuracies of raw pixels, the untrained encoder and a constant, measured before training."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from jepa_lab.callbacks.probes import OnlineProbes, ProbeHeads
from jepa_lab.ledger.parquet import history_of
from jepa_lab.networks.probe import Probe
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa import callbacks, references
from jepa_lab.studies.seq_jepa.build import build_module
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.metric_availability import missing
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.studies.seq_jepa.parts import build_views
from jepa_lab.studies.seq_jepa.references import FirstViews, LinearClassHeads, ProbeReferences
from study_parts import load_data

Make = Callable[..., Config]
KEYS = [f"reference/probe/class_from_{name}" for name in ("pixels", "untrained_z", "constant")]
RATES: dict[str, Any] = {"lr": 3e-3, "weight_decay": 1e-2, "seed": 0}


def module_of(config: Config) -> SeqJEPA:
    source = load_data(config).train
    return build_module(config, build_views(config, source), source, 4)


def toy_views(n: int, classes: int = 4) -> FirstViews:
    """Returns n views whose class is the brightest of the first pixels. The encodings are noise."""
    labels = torch.arange(n) % classes
    pixels = 0.1 * torch.randn(n, 16)
    pixels[torch.arange(n), labels] += 3.0
    return FirstViews(pixels, torch.randn(n, 8), labels)


def test_a_run_logs_the_references_once_and_the_constant_is_the_majority_share(
    make_config: Make,
) -> None:
    config = make_config()
    result = train(config)
    history = history_of(result.run_dir)
    assert [[step for step, _ in history[key]] for key in KEYS] == [[0], [0], [0]]
    assert all(0.0 <= history[key][0][1] <= 1.0 for key in KEYS)
    labels = load_data(config).val.labels
    assert labels is not None
    share = float(torch.bincount(labels).max()) / len(labels)
    assert history[KEYS[2]][0][1] == pytest.approx(share)
    assert history["val/skill"][-1][1] == pytest.approx(
        1 - history["val/loss/prediction"][-1][1] / history["val/loss/constant"][-1][1], abs=1e-5
    )
    probes, found = (
        next(c for c in result.module.trainer.callbacks if isinstance(c, kind))
        for kind in (OnlineProbes, ProbeReferences)
    )
    assert found.options.items() <= probes.options.items()
    assert (found.steps, found.batch_size) == (probes.options["steps"], config.dataset.batch_size)


class KilledError(Exception):
    pass


def test_a_resumed_run_keeps_the_references_and_does_not_measure_them_again(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Kill(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, *args: object) -> None:
            if trainer.global_step == 2:
                raise KilledError

    make_callbacks = callbacks.build_callbacks
    monkeypatch.setattr(callbacks, "build_callbacks", lambda *a: [Kill(), *make_callbacks(*a)])
    config = make_config("dataset.epochs=1", "monitor.save_every_s=0")
    with pytest.raises(KilledError):
        train(config)
    before = history_of(next(tmp_path.rglob("metrics.parquet")))
    monkeypatch.setattr(callbacks, "build_callbacks", make_callbacks)
    monkeypatch.setattr(references, "training_views", None)
    resumed = train(config)
    assert resumed.resumed
    after = history_of(resumed.run_dir)
    assert [after[key] for key in KEYS] == [before[key] for key in KEYS]


def test_the_references_leave_the_module_and_the_random_streams_as_they_were(
    make_config: Make,
) -> None:
    config = make_config("model.dropout=0.1")
    module = module_of(config).train()
    module.network.encoder.eval()
    module.eval_prefix = "reference"
    trainer: Any = SimpleNamespace(precision_plugin=SimpleNamespace(val_step_context=nullcontext))

    def state() -> list[Any]:
        tensors = [value.clone() for value in module.state_dict().values()]
        modes = [part.training for part in module.modules()]
        streams = [torch.get_rng_state(), torch.from_numpy(np.random.get_state()[1].copy())]  # type: ignore[index,union-attr]
        return [*tensors, *streams, torch.tensor(modes), random.getstate()]

    before = state()
    found = ProbeReferences(load_data(config), batch_size=64, steps=5, **RATES)
    with torch.inference_mode():
        found.on_validation_start(trainer, module)
    assert found._heads is not None
    for one, other in zip(before, state(), strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    assert not any(p.grad is not None for p in module.parameters())


def test_a_probe_of_pixels_is_perfect_on_separable_images_and_one_of_noise_is_not() -> None:
    heads = references.train_heads(toy_views(512), 4, batch_size=64, steps=200, **RATES)
    heads.start_scoring()
    views = toy_views(200)
    heads.score(views, views)
    scores = heads.scores()
    assert scores["class_from_pixels"] == 1.0
    assert scores["class_from_untrained_z"] < 0.5


def test_the_written_gradients_are_those_of_the_cross_entropy() -> None:
    views = toy_views(64)
    probes = [
        Probe(name, read, lambda v: v.labels, 4, True)
        for name, read in (("a", lambda v: v.pixels), ("b", lambda v: v.z))
    ]
    one, other = (
        kind(probes, views, torch.device("cpu"), hidden=0, steps=20, **RATES)
        for kind in (LinearClassHeads, ProbeHeads)
    )
    for _ in range(20):
        one.learn(views, views)
        other.learn(views, views)
    state = other.heads.state_dict()
    assert all(torch.allclose(v, state[k], atol=1e-5) for k, v in one.heads.state_dict().items())


def test_few_images_give_several_first_views_where_they_vary_and_many_are_limited(
    make_config: Make,
) -> None:
    config = make_config("dataset.first_view=random")
    module, source = module_of(config), load_data(config).train
    assert source.labels is not None
    varied = references.training_views(module, source)
    assert len(varied.labels) == 4 * 256
    assert not torch.equal(varied.pixels[:256], varied.pixels[256:512])
    module.group.first_view = "reference"
    upright = references.training_views(module, source)
    assert upright.pixels.shape == (256, 16 * 16)
    assert upright.z.shape == (256, 16)
    many = replace(
        source, images=source.images.repeat(20, 1, 1, 1), labels=source.labels.repeat(20)
    )
    assert len(references.training_views(module, many).labels) == references.MOST_IMAGES
    assert ProbeReferences(load_data(config), batch_size=64, steps=9000, **RATES).steps == 2000


def test_the_first_views_and_labels_of_training_belong_together(make_config: Make) -> None:
    """Upright first views are the normalised images, in the drawn order."""
    config = make_config()
    module, source = module_of(config), load_data(config).train
    views = references.training_views(module, source)
    assert source.labels is not None
    plain = ((source.images / 255.0 - source.mean[0]) / source.std[0]).flatten(1)
    nearest = torch.cdist(views.pixels, plain).argmin(1)
    assert torch.equal(source.labels[nearest], views.labels)


def test_the_encodings_of_the_encoder_pixels_are_the_pixels(make_config: Make) -> None:
    config = make_config(experiment="raw_pixels")
    views = references.training_views(module_of(config), load_data(config).train)
    assert torch.equal(views.z, views.pixels)


def test_images_without_labels_have_no_references(make_config: Make) -> None:
    group = module_of(make_config()).group
    assert [missing(key, 0, group) for key in KEYS] == ["the images have no labels"] * 3
    assert [missing(key, 10, group) for key in [*KEYS, "val/loss/constant"]] == [""] * 4
