"""Flag names of earlier public code are accepted and reported in one line each. Contradictory flags
are refused."""

import pytest
from hydra import compose, initialize_config_dir

from jepa_lab.cli.overrides import overrides_for_hydra, translate
from jepa_lab.config.groups import conf_dir
from jepa_lab.errors import UserError
from jepa_lab.studies import checked
from jepa_lab.studies.seq_jepa.config import Config

SAME = [
    (["model.teacherless=true"], ["target=stopgrad"]),
    (["+model.teacherless=True"], ["target=stopgrad"]),
    (["model.teacherless=false"], ["target=ema"]),
    (["model.ema=true"], ["target=ema"]),
    (["model.ema=false"], ["target=stopgrad"]),
    (["model.ema=false", "model.teacherless=true"], ["target=stopgrad"]),
    (["model.ema=false", "model.teacherless=false"], ["target=stopgrad"]),
    (["model.teacherless=true,false"], ["target=stopgrad,ema"]),
    (["model.ema=true", "target=ema"], ["target=ema"]),
    (["loss.rate_loss_enabled=false"], ["loss.lambda_rate=0"]),
    (["loss.rate_loss_enabled=true", "loss.lambda_rate=0.1"], ["loss.lambda_rate=0.1"]),
    (["loss.rate_loss_enabled=true"], ["loss.lambda_rate=${recipe.lambda_rate}"]),
    (["loss.rate_target=agg_out"], ["loss.rate_target=z_agg"]),
    (["loss.rate_target=z_t"], ["loss.rate_target=z"]),
    (["loss.rate_target=agg_out,both"], ["loss.rate_target=z_agg,both"]),
    (["eval.subspace_enabled=true"], ["monitor.subspace=true"]),
    (["seq_len=2"], ["dataset.seq_len=2"]),
    (["vq_enabled=false"], ["vq.enabled=false"]),
    (["commitment_cost=0.15"], ["vq.commitment=0.15"]),
    (["ema_decay=null"], ["vq.ema_decay=null"]),
    (["vq_refresh_enabled=false"], ["vq.refresh.enabled=false"]),
    (["vq_refresh_interval=2000"], ["vq.refresh.interval=2000"]),
    (["vq_refresh_usage_threshold=0.01"], ["vq.refresh.threshold=0.01"]),
    (
        ["temperature_min=0.03", "temperature_max=0.3"],
        ["loss.temperature.min=0.03", "loss.temperature.max=0.3"],
    ),
    (["sigreg.weight=0"], ["loss.sigreg.weight=0"]),
    (["invariance.color_weight=0.2"], ["loss.invariance.color=0.2"]),
    (["invariance.translation_weight=0.1"], ["loss.invariance.translation=0.1"]),
    (["invariance.symmetry_weight=0.1"], ["loss.invariance.symmetry=0.1"]),
    (["relational_loss.weight=0.02"], ["loss.relational.weight=0.02"]),
    (["patience=20"], ["early_stop.patience=20"]),
]

OF_ARC = [
    new
    for old, new in SAME
    if old[0].split("=")[0].split(".")[0]
    in (
        "vq_enabled",
        "commitment_cost",
        "ema_decay",
        "vq_refresh_enabled",
        "vq_refresh_interval",
        "temperature_min",
        "vq_refresh_usage_threshold",
        "sigreg",
        "invariance",
        "relational_loss",
        "patience",
    )
]


@pytest.mark.parametrize("overrides", OF_ARC, ids=lambda overrides: overrides[0])
def test_names_of_the_arc_plan_translate_to_keys_of_its_experiments(overrides: list[str]) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        changed = checked(compose("config", ["+experiment=arc_sixth_run", *overrides]))
        assert changed != checked(compose("config", ["+experiment=arc_sixth_run"]))


@pytest.mark.parametrize(("old", "new"), SAME, ids=[" ".join(old) for old, _ in SAME])
def test_each_old_flag_is_translated_and_reported_in_one_line(
    old: list[str], new: list[str]
) -> None:
    overrides, lines = translate(["+experiment=teacherless_a", *old, "seed=1"])
    assert overrides == ["+experiment=teacherless_a", *new, "seed=1"]
    changed = [w for w in old if w not in new]
    assert len(lines) == len(changed)
    assert all(any(line.startswith(w) for line in lines) for w in changed)


@pytest.mark.parametrize(
    "overrides", [["loss.rate_target=both"], ["loss.rate_target=z"], ["target=ema", "-m", "x"]]
)
def test_current_names_are_unchanged_and_not_reported(overrides: list[str]) -> None:
    assert translate(overrides) == (overrides, [])


CONTRADICTIONS = [
    ["model.ema=true", "target=stopgrad"],
    ["model.ema=true", "model.teacherless=true"],
    ["model.teacherless=true,false", "model.ema=true,false"],
    ["model.teacherless=true", "target=ema"],
    ["loss.rate_loss_enabled=false", "loss.lambda_rate=0.1"],
    ["loss.rate_loss_enabled=true", "loss.lambda_rate=0"],
    ["loss.rate_loss_enabled=true", "loss.lambda_rate=0,0.1"],
    ["seq_len=2", "dataset.seq_len=3"],
    ["eval.subspace_enabled=true", "monitor.subspace=false"],
]


@pytest.mark.parametrize("overrides", CONTRADICTIONS, ids=" ".join)
def test_contradictory_flags_are_refused_and_both_are_named(overrides: list[str]) -> None:
    with pytest.raises(UserError, match="contradict") as error:
        translate(overrides)
    assert all(override in str(error.value) for override in overrides)


def test_a_flag_is_true_or_false() -> None:
    with pytest.raises(UserError, match=r"model\.ema=perhaps: expected true or false"):
        translate(["model.ema=perhaps"])


def composed(*overrides: str) -> Config:
    native = overrides_for_hydra(["+experiment=seq_jepa_baseline", *overrides])
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return checked(compose("config", native))


def test_a_published_command_line_composes_to_its_original_meaning() -> None:
    config = composed(
        "model.teacherless=true",
        "loss.rate_loss_enabled=true",
        "loss.rate_target=z_t",
        "seq_len=2",
        "eval.subspace_enabled=true",
    )
    assert (config.target.name, config.loss.rate_target, config.dataset.n_views) == (
        "stopgrad",
        "z",
        3,
    )
    assert config.loss.lambda_rate == config.recipe.lambda_rate > 0
    assert config.monitor.subspace
