"""Every experiment composes, builds and takes two steps, with every recipe, on rotated and on
affine views."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from jepa_lab.config.groups import conf_dir, options_of
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.parts import build_loaders
from study_parts import load_data, prepare

# experiments of other studies, and those that equal another one
ELSEWHERE = ("linear_byol", "arc_", "search_", "aux_comparison_simple")
EXPERIMENTS = [e for e in options_of(conf_dir() / "experiment") if not e.startswith(ELSEWHERE)]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("recipe", options_of(conf_dir() / "recipe"))
def test_every_experiment_takes_two_steps(
    experiment: str, recipe: str, make_config: Callable[..., Config]
) -> None:
    budget = ["dataset.train_size=128", "dataset.epochs=1", "monitor.log_every=1"]
    result = train(make_config(f"recipe={recipe}", *budget, experiment=experiment))
    assert result.state == "completed"
    assert result.module is not None
    assert result.module.trainer.global_step == 2
    assert math.isfinite(result.metrics["train/loss/total"])
    assert result.metrics["train/lr"] >= 0


DATASETS = [d for d in options_of(conf_dir() / "dataset") if d.startswith("digits")]
PAIRS = {(e, "digits_rot") for e in EXPERIMENTS} | {
    (e, d) for e in ("teacherless_c", "teacherless_e") for d in DATASETS
}


@pytest.mark.parametrize(("experiment", "dataset"), sorted(PAIRS))
def test_every_experiment_builds_at_full_size(
    experiment: str, dataset: str, make_config: Callable[..., Config]
) -> None:
    import conftest

    full = conftest.maker(
        conftest.ROOT, without=("encoder.", "model.", "dataset.", "tier", "probes.")
    )
    config = full(f"dataset={dataset}", experiment=experiment)
    splits = load_data(config)
    parts = prepare(config, splits)
    assert len(build_loaders(config, splits)["train"]) == parts.budget.batches > 2
