"""A key that the user gave and that has no effect is said in one line, by a run, by a sweep and by
a check. Keys that conf/ sets are not said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from jepa_lab import check
from jepa_lab.cli import app as cli
from jepa_lab.cli.overrides import with_folder
from jepa_lab.config.extensions import SourceOptions, ViewOptions
from jepa_lab.config.groups import conf_dir, options_of
from jepa_lab.config.shared_check import without_hydra
from jepa_lab.studies import find
from jepa_lab.sweep.given_keys import given_keys, references
from jepa_lab.sweep.idle_keys import idle_lines, say_idle_keys
from jepa_lab.sweep.ladder import checked_rungs

Command = Callable[..., tuple[int, str, str]]
TOY, B, ARC = "+experiment=linear_byol", "+experiment=teacherless_b", "+experiment=arc_jepa"
GENERATED = [ARC, "dataset=arc_synthetic"]
LAST = "+experiment=arc_sixth_run"
MEAN = "model/aggregator=mean with model/predictor=mlp does not have it"


def said(
    capsys: pytest.CaptureFixture[str], *overrides: str, folder: Path | None = None
) -> list[str]:
    """Returns the lines of a single run with these overrides, without their start."""
    every = with_folder(overrides, None if folder is None else str(folder), itself=True)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg: DictConfig = compose("config", every, return_hydra_config=True)
        own = without_hydra(cfg)
        capsys.readouterr()
        say_idle_keys([(own, c) for c in checked_rungs(own)], cfg.hydra, cfg.hydra, single=True)
    return [line.removeprefix("jepa_lab: ") for line in capsys.readouterr().err.splitlines()]


CASES: list[tuple[list[str], list[str]]] = [
    # the toy
    (
        [TOY, "auto_memory=3", "auto_rule=two_over_h", "enc_over_pred=1", "beta_from_tau_c=1"],
        [
            "auto_memory=3 has no effect: only lr_enc_mode=auto reads it",
            "auto_rule=two_over_h has no effect: only lr_enc_mode=auto reads it",
            "enc_over_pred=1 has no effect: only lr_enc_mode=ratio reads it",
            "beta_from_tau_c=1 has no effect: only lr_enc_mode=from_tau reads it",
        ],
    ),
    ([TOY, "lr_enc_mode=auto", "auto_memory=3", "step_scale=effective"], []),
    (
        [TOY, "lr_enc_mode=auto", "auto_c_logspace=[0.1,1,2]", "auto_beta_c=1", "lr=1"],
        [
            "auto_beta_c=1 has no effect: auto_c_logspace replaces it",
            "lr=1 has no effect: lr_enc_mode=auto sets both rates",
        ],
    ),
    (
        [TOY, "lr=0.1", "lr_pred=0.2", "lr_enc_logspace=[0.1,1,2]"],
        [
            "lr=0.1 has no effect: lr_pred=0.2 replaces it",
            "lr_enc_logspace=[0.1,1,2] has no effect: only lr_enc_mode=logspace reads it",
        ],
    ),
    (
        [TOY, "hidden=8", "eval_size=9"],
        [
            "hidden=8 has no effect: only enc=mlp and pred=mlp read it",
            "eval_size=9 has no effect: only enc=mlp and pred=mlp read it",
        ],
    ),
    ([TOY, "pred=mlp", "hidden=8", "eval_size=9"], []),
    (
        [TOY, "pred=none", "lr_pred=1e-2", "mom_pred=0.5", "pred_update_every=2"],
        [
            "mom_pred=0.5 has no effect: pred=none has no predictor",
            "pred_update_every=2 has no effect: pred=none has no predictor",
        ],  # lr_pred sets the encoder's rate too
    ),
    (
        [TOY, "pred=none", "lr_pred=1e-2", "lr_enc_mode=from_tau"],
        ["lr_pred=1e-2 has no effect: pred=none has no predictor"],
    ),
    (
        [TOY, "population=true", "batch_size=8", "symmetric=true"],
        [
            "batch_size=8 has no effect: population=true: the batch is infinite",
            "symmetric=true has no effect: population=true: the batch is infinite",
        ],
    ),
    (["+experiment=linear_byol_sweep", "population=true", "batch_size=8"], []),  # replaces an axis
    # seq-JEPA
    (
        [B, "optim.schedule=constant", "optim.lr_min=0.1"],
        ["optim.lr_min=0.1 has no effect: only optim.schedule=cosine reads it"],
    ),
    (
        [B, "optim.warmup_epochs=2", "optim.warmup=0.1"],
        ["optim.warmup=0.1 has no effect: optim.warmup_epochs=2 replaces it"],
    ),
    (
        [B, "model/aggregator=mean", "model.depth=3", "model.heads=2", "+model.dropout=0.1"],
        [
            "model.depth=3 has no effect: model/aggregator=mean does not have it",
            "model.heads=2 has no effect: model/aggregator=mean does not have it",
            f"model.dropout=0.1 has no effect: {MEAN}",
        ],
    ),
    (
        [B, "model.action_conditioning=false", "model.action_bn=two_calls"],
        [
            "model.action_bn=two_calls has no effect: model.action_conditioning=false embeds no"
            " actions"
        ],
    ),
    (
        [B, "recipe.lambda_rate=0.1", "loss.lambda_rate=0.2"],
        ["recipe.lambda_rate=0.1 has no effect: loss.lambda_rate=0.2 replaces it"],
    ),
    ([B, "recipe.lambda_rate=0.1"], []),
    (
        [B, "recipe.lambda_rate=0.1", "loss.lambda_rate=0.2", "loss.alpha=${recipe.lambda_rate}"],
        [],  # another key copies it
    ),
    (
        [B, "loss.lambda_rate=0", "loss.alpha=2", "loss.rate_target=z"],
        [
            "loss.alpha=2 has no effect: loss.lambda_rate=0 switches the coding rate off",
            "loss.rate_target=z has no effect: loss.lambda_rate=0 switches the coding rate off",
        ],
    ),
    (
        [B, "loss={lambda_rate: 0, rate_center: true}"],
        ["loss.rate_center=true has no effect: loss.lambda_rate=0 switches the coding rate off"],
    ),
    (
        [B, "loss.rate_form=mcr2", "loss.alpha=2"],
        ["loss.alpha=2 has no effect: only loss.rate_form=logdet reads it"],
    ),
    (
        [B, "target=ema", "target.tau=0.9", "target.memory=0.1"],
        ["target.memory=0.1 has no effect: target.tau=0.9 replaces it"],
    ),
    ([B, "target=ema", "target.memory=0.1", "target.schedule=cosine"], []),
    ([B, "+target.memory=0.1"], ["target.memory=0.1 has no effect: only target=ema has it"]),
    (
        [B, "dataset.tiers.smoke.epochs=3", "dataset.tiers.quick.epochs=3", "dataset.epochs=4"],
        [
            "dataset.tiers.smoke.epochs=3 has no effect: tier=quick has a budget of its own",
            "dataset.tiers.quick.epochs=3 has no effect: dataset.epochs=4 replaces it",
        ],
    ),
    ([B, "dataset.tiers.quick.epochs=3", "dataset.tiers.quick.gates.class_from_z_agg_min=0.1"], []),
    (
        [
            *(B, "tier=ladder", "dataset=cifar10_rot"),
            *("dataset.tiers.smoke.epochs=3", "dataset.tiers.remote.epochs=3"),
        ],
        ["dataset.tiers.remote.epochs=3 has no effect: tier=smoke has a budget of its own"],
    ),
    (
        [B, "dataset.tiers.quick.gates.z_effective_rank_min=3", "gates.z_effective_rank_min=4"],
        [
            "dataset.tiers.quick.gates.z_effective_rank_min=3 has no effect:"
            " gates.z_effective_rank_min=4 replaces it"
        ],
    ),
    (
        [B, "experiment_gates.cifar10_rot.quick.class_gap_min=0.1"],
        [
            "experiment_gates.cifar10_rot.quick.class_gap_min=0.1 has no effect:"
            " dataset=digits_rot has gates of its own"
        ],
    ),
    (
        [B, "aux=vicreg", "aux.vicreg.weight=0", "aux.vicreg.eps=1e-3"],
        ["aux.vicreg.eps=1e-3 has no effect: aux.vicreg.weight=0"],
    ),
    ([B, "+logger.project=x"], ["logger.project=x has no effect: only logger=wandb reads it"]),
    (
        [B, "monitor.sweep_anchors=0", "monitor.sweep_every=2"],
        ["monitor.sweep_every=2 has no effect: monitor.sweep_anchors=0 makes no factor sweeps"],
    ),
    (
        ["+experiment=teacherless_d", "loss.teacher_temp_start=0.1"],
        [
            "loss.teacher_temp_start=0.1 has no effect: loss.temp_warmup=0 begins with"
            " loss.teacher_temp"
        ],
    ),
    ([B, "seed=3", "optim.lr=0.1", "model.depth=2", "loss.alpha=2"], []),
    # ARC
    (
        [*GENERATED, "dataset.val_share=0.3", "dataset.split_seed=1"],
        [
            "dataset.val_share=0.3 has no effect: dataset.kind=synthetic does not read it",
            "dataset.split_seed=1 has no effect: dataset.kind=synthetic does not read it",
        ],
    ),
    ([ARC, "dataset.val_share=0.3", "dataset.split_seed=1"], []),
    (
        [*GENERATED, "dataset.patch=2", "dataset.n_frames=2", "dataset.synthetic.fill=0.5"],
        [
            "dataset.patch=2 has no effect: dataset.tokeniser=slots does not read it",
            "dataset.n_frames=2 has no effect: dataset.problem=demos does not read it",
            "dataset.synthetic.fill=0.5 has no effect: only dataset.synthetic.style=noise reads it",
        ],
    ),
    (
        [
            *(*GENERATED, "dataset.tokeniser=patches", "dataset.max_objects=9"),
            *("dataset.connectivity=8", "dataset.problem=frames", "dataset.n_demos=2"),
        ],
        [
            "dataset.max_objects=9 has no effect: dataset.tokeniser=patches does not read it",
            "dataset.connectivity=8 has no effect: dataset.tokeniser=patches does not read it",
            "dataset.n_demos=2 has no effect: dataset.problem=frames does not read it",
        ],
    ),
    (
        [
            *(ARC, "loss.sigreg.n_slices=8", "loss.invariance.max_delta=0.2"),
            *("loss.relational.form=published", "loss.invariance.form=published"),
        ],
        [
            "loss.sigreg.n_slices=8 has no effect: loss.sigreg.weight=0",
            "loss.invariance.max_delta=0.2 has no effect: loss.invariance.translation=0",
            "loss.relational.form=published has no effect: loss.relational.weight=0",
            "loss.invariance.form=published has no effect: all weights of loss.invariance are 0",
        ],
    ),
    ([LAST, "loss.sigreg.n_slices=8", "loss.invariance.max_delta=0.2"], []),
    (
        [ARC, "early_stop.min_delta=0.1"],
        ["early_stop.min_delta=0.1 has no effect: early_stop.patience=null never stops"],
    ),
    ([ARC, "early_stop.min_delta=0.1", "early_stop.patience=2"], []),
    (
        [LAST, "model.hidden=8", "target.memory=0.2"],
        [
            "model.hidden=8 has no effect: model.predictor=none has no hidden layer",
            "target.memory=0.2 has no effect: target.tau=0.99 replaces it",
        ],
    ),
    (
        [ARC, "vq.refresh.enabled=false", "vq.refresh.interval=3", "vq.refresh.cap=0.2"],
        [
            "vq.refresh.interval=3 has no effect: vq.refresh.enabled=false",
            "vq.refresh.cap=0.2 has no effect: vq.refresh.enabled=false",
        ],
    ),
    (
        [LAST, "vq.refresh.cap=0.2", "vq.commitment=0.1"],
        [
            "vq.refresh.cap=0.2 has no effect: vq.refresh.rule=legacy_share does not read it",
            "vq.commitment=0.1 has no effect: vq.in_objective=false leaves the codebook's loss out",
        ],
    ),
    ([ARC, "vq.enabled=false", "vq.size=8"], ["vq.size=8 has no effect: vq.enabled=false"]),
    (
        [ARC, "loss=lejepa", "loss.temperature.min=0.05", "loss.temperature.init=0.2"],
        ["loss.temperature.min=0.05 has no effect: only loss.form=info_nce reads it"],
    ),
    (
        [ARC, "monitor.subspace=false"],
        ["monitor.subspace=false has no effect: only image studies read it"],
    ),
    # keys of a sweep, and of the folders that Hydra makes
    (
        [B, "sweep.report=views_grid", "sweep.fail_fast=true", "sweep.control=null"],
        [
            "sweep.report=views_grid has no effect: this is a single run, no sweep",
            "sweep.fail_fast=true has no effect: this is a single run, no sweep",
        ],
    ),
    (
        [B, "hydra.run.dir=x"],
        [
            "hydra.run.dir=x has no effect: the files of a run are in a folder of its own below"
            " runs_dir"
        ],
    ),
    ([B, "hydra.run.dir=x", "hydra.output_subdir=y"], []),
    ([B, "hydra.run.dir=x", "hydra/job_logging=default"], []),
    # the last value counts, as in Hydra
    ([TOY, "hidden=8", "hidden=9"], ["hidden=9 has no effect: only enc=mlp and pred=mlp read it"]),
]


@pytest.mark.parametrize(("overrides", "expected"), CASES)
def test_a_given_key_without_effect_is_said_with_the_reason(
    capsys: pytest.CaptureFixture[str], overrides: list[str], expected: list[str]
) -> None:
    assert said(capsys, *overrides) == expected


@pytest.mark.parametrize("experiment", options_of(conf_dir() / "experiment"))
def test_an_experiment_of_conf_says_nothing_of_its_own_keys(
    capsys: pytest.CaptureFixture[str], experiment: str
) -> None:
    assert said(capsys, f"+experiment={experiment}") == []


def test_options_of_groups_say_nothing_of_their_keys(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["recipe=published", "tier=smoke", "model/aggregator=mean", "target=ema", "seed=1"]
    assert said(capsys, "+experiment=seq_jepa_baseline", *options) == []
    assert said(capsys, ARC, "dataset=arc_published", "vq=none", "model.roles=false") == []


def test_keys_of_a_file_of_the_user_are_said_also_through_its_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "shared.yaml").write_text("# @package _global_\nmodel: {dropout: 0.3}\n")
    (folder / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - teacherless_b\n  - shared\n"
        "  - override /model/aggregator: mean\n  - _self_\n"
        "name: mine\nloss: {lambda_rate: 0, rate_center: true}\n"
        "hydra: {sweeper: {params: {loss.alpha: '1,2'}}}\n"
    )
    off = "loss.lambda_rate=0 switches the coding rate off"
    assert said(capsys, "+experiment=mine", folder=tmp_path) == [
        f"model.dropout=0.3 has no effect: {MEAN}",
        f"loss.rate_center=true has no effect: {off}",
        f"loss.alpha=1,2 has no effect: {off}",
    ]
    # the command line comes last
    assert said(capsys, "+experiment=mine", "loss.lambda_rate=0.1", folder=tmp_path) == [
        f"model.dropout=0.3 has no effect: {MEAN}"
    ]


def test_a_file_of_conf_is_not_the_user_s_although_they_have_one_of_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "stopgrad.yaml").write_text("name: stopgrad\nmemory: 0.1\n")
    assert said(capsys, B, folder=tmp_path) == []


def test_a_key_that_acts_in_one_job_of_a_sweep_is_not_said() -> None:
    given = {"a": "a=1,2", "b": "b=3"}
    idle: list[dict[str, str]] = [{"a": "x", "b": "y"}, {"a": "z"}]
    assert idle_lines(given, idle) == {"a": "a=1,2 has no effect: x"}
    assert idle_lines(given, []) == {}


def test_references_are_the_keys_that_interpolations_read() -> None:
    content: dict[str, Any] = {
        "a": {"b": "${x.y}", "c": "${.b}", "d": ["${oc.select:u.v,${w}}"]},
        "e": {"f": {"g": "${..h} ${.tiers.${tier.name}.epochs}"}},
    }
    read = references(OmegaConf.create(content))
    assert {"x.y", "a.b", "u.v", "w", "e.h", "tier.name"} <= read
    assert not any("epochs" in key or key.endswith(".") for key in read)


def test_keys_are_given_by_any_form_of_an_override() -> None:
    hydra = OmegaConf.create({"runtime": {"config_sources": []}})
    overrides = ["++a.b=1", "+c={d: [1,x], e: {f: null}}", "~g", "h/i=j", "k=2,3", "a.b=4"]
    assert given_keys(hydra, overrides) == {
        "a.b": "a.b=4",
        "c.d": "c.d=[1,x]",
        "c.e.f": "c.e.f=null",
        "h.i": "h.i=j",
        "k": "k=2,3",
    }


def test_parts_of_the_user_do_not_read_the_options_of_ours() -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        (config,) = checked_rungs(compose("config", [B]))
    keys = {"dataset.action_code", "dataset.interpolation", "dataset.image_size"}
    assert not keys & find("seq_jepa").idle_keys(config).keys()
    config.dataset.views, config.dataset.source = ViewOptions(), SourceOptions()
    assert keys <= find("seq_jepa").idle_keys(config).keys()


TINY = [TOY, "epochs=20", "log_every=10", "figures=false"]
IDLE = "jepa_lab: {} has no effect: only lr_enc_mode=auto reads it"


def no_effect(err: str) -> list[str]:
    return [line for line in err.splitlines() if "has no effect" in line]


def test_a_run_and_its_check_say_the_same(command: Command) -> None:
    keys = ["auto_memory=3", "sweep.fail_fast=true", "hydra.run.dir=."]
    code, _, err = command(*TINY, *keys)
    assert code == 0
    assert IDLE.format("auto_memory=3") in no_effect(err)
    assert len(no_effect(err)) == len(keys)
    code, _, checked = command(*TINY, *keys, main=check.main)
    assert code == 0
    assert no_effect(checked) == no_effect(err)


def test_a_sweep_says_a_line_once_for_all_of_its_jobs(command: Command) -> None:
    keys = ["auto_memory=3,4", "seed=1,2", "sweep.fail_fast=true", "hydra.sweep.subdir=."]
    for main in (check.main, cli.main):
        code, _, err = command("-m", *TINY, *keys, "hydra.sweeper.max_batch_size=1", main=main)
        assert code == 0
        first, second = no_effect(err)
        assert first.startswith("jepa_lab: hydra.sweep.subdir=. has no effect")
        assert second == IDLE.format("auto_memory=3,4")


def test_a_sweep_in_which_a_key_acts_once_says_nothing(command: Command) -> None:
    keys = ["lr_enc_mode=same,auto", "auto_memory=3"]
    for main in (check.main, cli.main):
        code, _, err = command("-m", *TINY, *keys, "hydra.sweeper.max_batch_size=1", main=main)
        assert code == 0
        assert no_effect(err) == []


def test_keys_of_a_comparison_and_of_a_search_are_said_in_other_sweeps(command: Command) -> None:
    keys = ["seed=1,2", "sweep.objective=val/skill", "sweep.tuning.weights=3"]
    code, _, err = command("-m", *TINY, *keys, main=check.main)
    assert code == 0
    assert no_effect(err) == [
        "jepa_lab: sweep.objective=val/skill has no effect: only hydra/sweeper=search reads it",
        "jepa_lab: sweep.tuning.weights=3 has no effect: only sweep.report=aux_comparison reads it",
    ]


def test_the_check_of_a_comparison_says_a_line_once(command: Command) -> None:
    small = ["tier=smoke", "aux=none,vicreg", "seed=0", "sweep.tuning.weights=1"]
    overrides = ["+experiment=aux_comparison", *small, "monitor.sweep_anchors=0"]
    code, _, err = command(*overrides, "monitor.sweep_every=1", "optim.lr_min=0.1", main=check.main)
    assert code == 0
    assert len(no_effect(err)) == 1
    assert "monitor.sweep_every=1 has no effect" in err


@pytest.mark.parametrize("key", ["hydra.sweep.dir", "hydra.sweep.subdir"])
def test_a_folder_of_a_sweep_is_refused_in_a_single_run(command: Command, key: str) -> None:
    for main in (cli.main, check.main):
        code, _, err = command(*TINY, f"{key}=x", main=main)
        assert code == 2
        line = f"jepa_lab: {key}=x: applies to a sweep, but this is a single run; add -m\n"
        assert err == line
