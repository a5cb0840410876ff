"""The keys that are said to have no effect have none: runs in which all of them are changed at once
have the same metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jepa_lab.ledger.parquet import history_of
from jepa_lab.studies import find
from jepa_lab.studies.arc.config import OF_IMAGES, ArcConfig
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from toy_configs import configure

OTHER = {  # another value of each key
    "aux.coding_rate.ramp": 0.5,
    "aux.vicreg.ramp": 0.5,
    "aux.vicreg.site": "[z_hat,z_target]",
    "aux.vicreg.sim_coeff": 3.0,
    "aux.vicreg.std_coeff": 3.0,
    "aux.vicreg.cov_coeff": 3.0,
    "aux.vicreg.eps": 0.1,
    "aux.vicreg.proj_hidden_dim": 8,
    "aux.vicreg.proj_output_dim": 8,
    "optim.lr_min": 0.5,
    "optim.warmup": 0.7,
    "target.memory": 0.5,
    "target.schedule": "cosine",
    "model.depth": 2,
    "model.heads": 3,
    "model.positions": "sincos",
    "model.ffn_ratio": 3,
    "model.dropout": 0.3,
    "model.norm_first": "true",
    "model.predictor_depth": 2,
    "model.predictor_heads": 3,
    "model.eta": 0.3,
    "model.sparsity": 0.3,
    "model.action_bn": "two_calls",
    "model.hidden": 24,
    "loss.alpha": 3.0,
    "loss.rate_target": "z",
    "loss.rate_normalise": "rows",
    "loss.rate_center": "true",
    "loss.rate_form": "mcr2",
    "recipe.lambda_rate": 0.7,
    "loss.teacher_temp_start": 0.3,
    "dataset.usual_first_view": "random",
    "dataset.scale_law": "uniform",
    "monitor.sweep_every": 1,
    "probes.leak_head": "linear",
    "hardware.channels_last": "false",
    "dataset.val_share": 0.5,
    "dataset.split_seed": 3,
    "dataset.n_frames": 2,
    "dataset.n_demos": 2,
    "dataset.patch": 2,
    "dataset.connectivity": 8,
    "dataset.max_objects": 9,
    "dataset.synthetic.fill": 0.4,
    "early_stop.min_delta": 0.5,
    "loss.queue": 7,
    "loss.exclude_same_task": "false",
    "loss.temperature.min": 0.05,
    "loss.temperature.max": 0.25,
    "loss.temperature.learn": "false",
    "loss.temperature.bound": "clamp",
    "loss.sigreg.n_slices": 8,
    "loss.sigreg.n_points": 9,
    "loss.sigreg.t_max": 2.0,
    "loss.sigreg.form": "published",
    "loss.invariance.form": "published",
    "loss.invariance.max_delta": 0.2,
    "loss.relational.form": "published",
    "vq.site": "side",
    "vq.size": 4,
    "vq.commitment": 0.7,
    "vq.ema_decay": 0.5,
    "vq.init": "uniform",
    "vq.in_objective": "false",
    "vq.weight_on": "commitment",
    "vq.update": "forward",
    "vq.count_padding": "true",
    "vq.share": "false",
    "vq.window_tokens": 64,
    "vq.kind": "gumbel",
    "vq.usage_weight": 0.5,
    "vq.refresh.enabled": "true",
    "vq.refresh.interval": 2,
    "vq.refresh.threshold": 0.4,
    "vq.refresh.rule": "relative",
    "vq.refresh.cap": 0.3,
    "vq.refresh.cool_down": 4,
    "vq.refresh.ramp": 0.2,
}
TOYS = {
    "enc_over_pred": 0.7,
    "beta_from_tau_c": 0.7,
    "auto_alpha_c": 0.7,
    "auto_beta_c": 0.7,
    "auto_rule": "two_over_h",
    "step_scale": "effective",
    "auto_refresh_every": 3,
    "auto_memory": 7,
    "hidden": 9,
    "eval_size": 99,
    "batch_size": 9,
    "symmetric": True,
    "lr": 0.3,
    "lr_pred": 0.3,
    "lr_pred_logspace": [0.1, 1, 2],
    "lr_enc_logspace": [0.1, 1, 2],
    "mom_pred": 0.3,
    "pred_update_every": 3,
    "hardware.channels_last": False,
}
# keys of other tiers, of another logger, of another kind of codebook, and with one allowed value
LEFT_OUT = (
    *("dataset.tiers.", "experiment_gates.", "logger."),
    *("vq.levels", "vq.gumbel", "vq.refresh.stale_after", "dataset.slot_features"),
)
# metrics of the clock, and columns about the rate of a predictor that is not there
CLOCK = ("seconds", "per_s", "time", "images_s", "memory")
OF_PREDICTOR = ("alpha_bound", "alpha_H_over_tau", "lr_pred", "lr", "mom_pred", "lr_pred_setting")


def changed(idle: dict[str, str]) -> list[str]:
    """Returns overrides that change all of these keys, with nothing left out unseen."""
    keys = {key for key in idle if not key.startswith(LEFT_OUT)}
    assert keys <= OTHER.keys()
    return [f"++{key}={OTHER[key]}" for key in sorted(keys)]


def metrics(folder: Path) -> dict[str, list[float]]:
    return {
        key: [value for _, value in points if not math.isnan(value)]
        for key, points in history_of(folder / "metrics.parquet").items()
        if not any(part in key for part in CLOCK)
    }


SEQ = [
    (
        "raw_pixels",
        ["model.action_conditioning=false", "monitor.sweep_anchors=0", "optim.schedule=constant"],
    ),
    (
        "teacherless_b",
        [
            "aux=vicreg",
            "aux.vicreg.weight=0",
            "target=ema",
            "target.tau=0.9",
            "loss.rate_form=simdino",
            "dataset.n_views=2",
        ],
    ),
    (
        "teacherless_d",
        [
            *("optim.warmup_epochs=1", "loss.lambda_rate=0", "dataset=digits_affine"),
            *("aux=coding_rate", "aux.coding_rate.weight=0", "dataset.mode=rot_only"),
            *("dataset.first_view=random", "model/predictor=crate", "model/aggregator=mean"),
        ],
    ),
]


@pytest.mark.parametrize(("experiment", "overrides"), SEQ)
def test_keys_without_effect_change_no_metric_of_a_seq_jepa(
    make_config: Callable[..., Config], experiment: str, overrides: list[str]
) -> None:
    own = [*overrides, "monitor.rollout_steps=0"]
    config = make_config(*own, experiment=experiment)
    idle = find(config.study).idle_keys(config)
    first = train(config)
    second = train(make_config(*own, *changed(idle), experiment=experiment))
    assert first.run_dir != second.run_dir
    assert metrics(first.run_dir) == metrics(second.run_dir)


ARC = [
    ("arc_jepa", ["loss=lejepa", "loss.sigreg.weight=0", "optim.schedule=constant"]),
    ("arc_jepa", ["dataset.tokeniser=patches", "dataset.problem=frames", "vq=none"]),
    ("arc_jepa", ["vq.in_objective=false", "target=stopgrad", "loss.temperature.learn=false"]),
    (
        "arc_jepa",
        [
            *("vq.refresh.rule=staleness", "vq.refresh.stale_after=2", "vq.refresh.interval=1"),
            *("loss.invariance.color=0.1", "model.predictor=none", "target.tau=0.9"),
        ],
    ),
    ("arc_sixth_run", ["vq.in_objective=true", "loss.invariance.translation=0"]),
    ("arc_fsq", ["aux=vicreg", "aux.vicreg.weight=0"]),
]


@pytest.mark.parametrize(("experiment", "overrides"), ARC)
def test_keys_without_effect_change_no_metric_of_an_arc_jepa(
    make_arc: Callable[..., ArcConfig], experiment: str, overrides: list[str]
) -> None:
    config = make_arc(*overrides, experiment=experiment)
    single = {f"{group}.{key}" for group, key in OF_IMAGES}  # with one allowed value
    idle = find(config.study).idle_keys(config)
    own = changed({key: reason for key, reason in idle.items() if key not in single})
    first, second = train(config), train(make_arc(*overrides, *own, experiment=experiment))
    assert first.run_dir != second.run_dir
    assert metrics(first.run_dir) == metrics(second.run_dir)


@pytest.mark.parametrize(
    "overrides",
    [
        ["lr_pred=0.01"],
        ["population=true", "lr_pred_logspace=[1e-3,1e-2,2]"],
        ["lr_enc_mode=auto"],
        ["lr_enc_mode=auto", "auto_c_logspace=[0.1,0.4,2]", "pred=none"],
        ["pred=none", "lr_enc_mode=from_tau"],
        ["pred=none", "lr_enc_mode=ratio"],
        ["pred=mlp", "lr_enc=0.01"],
    ],
)
def test_keys_without_effect_change_no_column_of_a_toy(
    tmp_path: Path, overrides: list[str]
) -> None:
    base = ["epochs=30", "log_every=10", "figures=false", f"runs_dir={tmp_path}", *overrides]
    config = configure(*base)
    idle = find(config.study).idle_keys(config)
    assert idle.keys() <= TOYS.keys()
    tables = []
    for runs, own in (("a", []), ("b", [f"{key}={TOYS[key]}" for key in idle])):
        home = train(configure(*base, f"runs_dir={tmp_path / runs}", *own)).run_dir
        found = sorted(home.parent.glob("*/linear_byol.parquet"))
        tables.append([pq.read_table(path).to_pydict() for path in found])
    first, second = tables
    assert len(first) == len(second) > 0
    left = {*OF_PREDICTOR} if config.pred == "none" else set()
    left |= {"run_id", "wall_s", *idle}
    columns = [{k: v for k, v in table.items() if k not in left} for table in (*first, *second)]
    half = len(first)
    for table in columns[:half]:
        assert any(repr(table) == repr(twin) for twin in columns[half:])
