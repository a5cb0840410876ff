"""The toy's grid: the number of runs, their identity, and their rates."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

import toy_configs
from jepa_lab.ledger.identity import run_id
from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.grid import identity_keys, idle_axes, logspace, members
from jepa_lab.studies.linear_byol.key_groups import COMMAND_KEYS


def configure(*overrides: str, experiment: str = "linear_byol_sweep") -> ToyConfig:
    return toy_configs.configure(*overrides, experiment=experiment)


def ids(*overrides: str, experiment: str = "linear_byol_sweep") -> list[str]:
    return [
        run_id(identity_keys(m), "") for m in members(configure(*overrides, experiment=experiment))
    ]


SIX = ["lr_pred_logspace=[1e-5,1e-2,6]", "tau_logspace=[1e-4,1e-1,6]", "seeds=[42]"]


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        (SIX, 72),
        ([*SIX, "lr_enc_mode=logspace"], 432),
        ([], 64),
        (["lr_enc_mode=ratio"], 64),
        (["lr_enc_mode=from_tau"], 64),
        (["lr_enc_mode=logspace"], 384),
        (["lr_enc_mode=auto"], 16),
        (["lr_enc_mode=auto", "auto_c_logspace=[0.1,1,3]"], 48),
        (["lr_enc=1e-3"], 64),
        (["seed=1", "ema_m=0.9"], 8),
    ],
)
def test_the_grid_has_the_published_number_of_distinct_runs(
    overrides: list[str], count: int
) -> None:
    found = ids(*overrides)
    assert len(found) == len(set(found)) == count


def test_linear_byol_is_one_run_and_linear_byol_learn_is_a_grid() -> None:
    assert len(ids(experiment="linear_byol")) == 1
    assert len(set(ids(experiment="linear_byol_learn"))) == 8 * 9


@pytest.mark.parametrize("mode", ["same", "ratio", "logspace", "from_tau", "auto"])
def test_constants_of_another_mode_do_not_change_the_run_id(mode: str) -> None:
    owned = {
        "ratio": ["enc_over_pred=0.7"],
        "from_tau": ["beta_from_tau_c=0.7"],
        "auto": [
            "auto_alpha_c=0.7",
            "auto_beta_c=0.7",
            "auto_rule=two_over_h",
            "step_scale=effective",
            "auto_refresh_every=3",
            "auto_memory=7",
        ],
    }
    before = ids(f"lr_enc_mode={mode}")
    for owner, overrides in owned.items():
        for override in overrides:
            changed = ids(f"lr_enc_mode={mode}", override)
            assert (changed == before) == (owner != mode), override


@pytest.mark.parametrize(
    "override",
    [
        "seed=7",
        "batch_size=7",
        "lr_pred=0.007",
        "ema_m=0.7",
        "epochs=7",
        "log_every=7",
        "d_latent=7",
        "d_obs=77",
        "sigma_n=0.7",
        "spectrum=log",
        "spectrum_range=[0.7,7]",
        "orthonormal=false",
        "enc=mlp",
        "pred=mlp",
        "pred=none",
        "enc_init=random",
        "pred_init=zero",
        "mom_pred=0.7",
        "mom_enc=0.7",
        "pred_update_every=7",
        "enc_update_every=7",
        "population=true",
        "symmetric=true",
        "lr_enc_mode=auto",
        "lr_enc=0.007",
    ],
)
def test_settings_that_change_the_result_change_the_run_id(override: str) -> None:
    assert ids(override, experiment="linear_byol") != ids(experiment="linear_byol")


@pytest.mark.parametrize(
    "override",
    [
        "runs_dir=other",
        "on_existing=restart",
        "max_wall_s=9",
        "save_every_s=9",
        "figures=false",
        "hardware.threads=3",
        "hidden=9",
        "eval_size=9",
        "seeds=[1,2]",
        "lr_enc_logspace=[1e-3,1e-2,3]",
    ],
)
def test_settings_without_effect_do_not_change_the_run_id(override: str) -> None:
    assert ids(override, experiment="linear_byol") == ids(experiment="linear_byol")


def test_batch_size_and_symmetry_do_not_identify_runs_with_infinite_batches() -> None:
    exact = ["population=true"]
    assert ids(*exact, experiment="linear_byol") == ids(
        *exact, "batch_size=7", experiment="linear_byol"
    )
    assert ids(*exact, experiment="linear_byol") == ids(
        *exact, "symmetric=true", experiment="linear_byol"
    )


@pytest.mark.parametrize(
    ("overrides", "rate"),
    [
        (["lr_enc_mode=same"], lambda m: m.lr_pred),
        (["lr_enc_mode=ratio", "enc_over_pred=0.3"], lambda m: 0.3 * m.lr_pred),
        (["lr_enc_mode=from_tau", "beta_from_tau_c=0.3"], lambda m: 0.3 * (1 - m.ema_m)),
        (["lr_enc=0.03"], lambda m: 0.03),
        (["lr_enc_mode=auto"], lambda m: None),
    ],
)
def test_every_mode_derives_the_encoder_rate_by_its_rule(overrides: list[str], rate: Any) -> None:
    for member in members(configure(*overrides)):
        expected = rate(member)
        assert member.lr_enc == (None if expected is None else pytest.approx(expected, rel=1e-9))


def test_axes_are_evenly_spaced_in_their_logarithm_and_include_both_ends() -> None:
    assert logspace([1e-5, 1e-2, 4]) == [1e-5, 1e-4, 1e-3, 1e-2]
    assert logspace([0.5, 9, 1]) == [0.5]
    taus = sorted({1 - (m.ema_m or 0) for m in members(configure())})
    assert taus == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1], rel=1e-9)


def test_runs_of_one_seed_and_batch_size_are_adjacent() -> None:
    keys = [(m.seed, m.batch_size) for m in members(configure("lr_enc_mode=logspace"))]
    changes = sum(a != b for a, b in pairwise(keys))
    assert changes + 1 == len(set(keys)) == 4


def test_an_axis_that_a_single_value_replaces_is_reported() -> None:
    assert idle_axes(configure()) == []
    assert idle_axes(configure(experiment="linear_byol")) == []
    (line,) = idle_axes(configure("seeds=[1,2]", experiment="linear_byol"))
    assert line == "seed=42 replaces seeds=[1, 2]; seed=null for the axis"
    lines = idle_axes(configure("seed=3", "ema_m=0.9", "lr_pred=0.1"))
    assert [line.split(" ")[0] for line in lines] == ["seed=3", "ema_m=0.9", "lr_pred=0.1"]


def test_keys_of_the_command_do_not_identify_a_run() -> None:
    assert not set(COMMAND_KEYS) & set(identity_keys(members(configure())[0]))
