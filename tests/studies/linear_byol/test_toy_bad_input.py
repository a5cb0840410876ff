"""Invalid values of the toy's keys: the error is one line with the key, the value and the valid
choice, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jepa_lab.errors import UserError
from toy_configs import configure

ONE, GRID = "linear_byol", "linear_byol_sweep"
BAD = [
    (
        ONE,
        ["lr_enc_mode=sam"],
        "lr_enc_mode=sam: expected one of same, ratio, logspace, from_tau, auto",
    ),
    (ONE, ["epochs=0"], "epochs=0: must be at least 1"),
    (ONE, ["epochs=1.5"], "epochs"),
    (ONE, ["log_every=0"], "log_every=0"),
    (ONE, ["eval_size=1"], "eval_size=1: must be at least 2"),
    (ONE, ["ema_m=1"], "ema_m=1.0: tau = 1 - ema_m = 0 lies outside (0, 1]"),
    (ONE, ["ema_m=1.5"], "ema_m=1.5"),
    (ONE, ["ema_m=-0.1"], "ema_m=-0.1"),
    (ONE, ["ema_m=.nan"], "ema_m=nan"),
    (GRID, ["tau_logspace=[1e-4,2,4]"], "tau lies outside (0, 1]"),
    (GRID, ["tau_logspace=[2,1e-4,4]"], "tau lies outside (0, 1]"),
    (GRID, ["tau_logspace=[1e-20,1e-1,4]"], "cannot hold a tau below 1e-10"),
    (GRID, ["tau_logspace=null"], "ema_m and tau_logspace are both empty"),
    (ONE, ["d_latent=101"], "d_latent=101: more latents than d_obs=100"),
    (ONE, ["d_latent=0"], "d_latent=0"),
    (GRID, ["lr_pred_logspace=[0,1e-2,4]"], "both ends of a logarithmic axis must be above 0"),
    (GRID, ["lr_pred_logspace=[-1,1e-2,4]"], "lr_pred_logspace=[-1.0, 0.01, 4.0]"),
    (GRID, ["lr_pred_logspace=[1e-5,1e-2]"], "expected [lowest, highest, number]"),
    (GRID, ["lr_pred_logspace=[1e-5,1e-2,2.5]"], "the third entry is the number of values"),
    (GRID, ["lr_pred_logspace=[1e-5,1e-2,0]"], "the third entry is the number of values"),
    (GRID, ["lr_pred_logspace=[1e-5,1e-2,1e9]"], "1 to 1000"),
    (GRID, ["lr_pred_logspace=[1e-3,1e-3,3]"], "3 values from 0.001 to 0.001 are all the same"),
    (GRID, ["lr_pred_logspace=[.nan,1e-2,2]"], "lr_pred_logspace=[nan, 0.01, 2.0]"),
    (GRID, ["lr_pred_logspace=1e-3"], "lr_pred_logspace: expected a list"),
    (GRID, ["lr_pred_logspace=[a,b,c]"], "lr_pred_logspace"),
    (GRID, ["lr_enc_mode=logspace", "lr_enc_logspace=[0,1,3]"], "lr_enc_logspace=[0.0, 1.0, 3.0]"),
    (GRID, ["lr_enc_mode=ratio", "enc_over_pred=null"], "give enc_over_pred"),
    (GRID, ["lr_enc_mode=from_tau", "beta_from_tau_c=null"], "give beta_from_tau_c"),
    (ONE, ["lr_enc_mode=auto", "lr_pred=1e-3"], "lr_pred=0.001 and lr_enc_mode=auto contradict"),
    (ONE, ["lr_enc_mode=auto", "lr_enc=1e-3"], "lr_enc=0.001 and lr_enc_mode=auto contradict"),
    (ONE, ["lr_enc_mode=same", "lr_enc=1e-3"], "lr_enc=0.001 and lr_enc_mode=same contradict"),
    (ONE, ["lr_enc_mode=logspace"], "needs lr_enc or lr_enc_logspace"),
    (ONE, ["auto_c_logspace=[.1,1,3]"], "only lr_enc_mode=auto has it"),
    (ONE, ["lr_enc_mode=auto", "auto_alpha_c=0"], "auto_alpha_c=0.0: must be above 0"),
    (ONE, ["lr_enc_mode=auto", "auto_beta_c=-1"], "auto_beta_c=-1.0"),
    (ONE, ["auto_rule=c_over_h"], "auto_rule=c_over_h: expected one of tau_over_h, two_over_h"),
    (ONE, ["step_scale=true_one"], "step_scale=true_one: expected one of published, effective"),
    (ONE, ["auto_refresh_every=0"], "auto_refresh_every=0"),
    (ONE, ["seed=-1"], "seed=-1: must be at least 0"),
    (ONE, ["seed=99999999999999999999999"], "must be below 2^63"),
    (ONE, ["seed=null"], "seed and seeds are both empty"),
    (GRID, ["seeds=[]"], "seed and seeds are both empty"),
    (GRID, ["seeds=[1,1]"], "a value is given twice"),
    (GRID, ["seeds=[-3]"], "seeds=-3"),
    (GRID, ["seeds=3"], "seeds: expected a list, as in seeds=[...]"),
    (GRID, ["batch_sizes=[]"], "batch_size and batch_sizes are both empty"),
    (GRID, ["batch_sizes=[0]"], "batch_sizes=0"),
    (ONE, ["batch_size=0"], "batch_size=0"),
    (ONE, ["lr_pred=-1"], "lr_pred=-1.0"),
    (ONE, ["lr=.nan"], "lr=nan"),
    (ONE, ["lr_enc=.inf"], "lr_enc=inf"),
    (ONE, ["enc_over_pred=-1"], "enc_over_pred=-1.0"),
    (ONE, ["sigma_n=-1"], "sigma_n=-1.0"),
    (ONE, ["sigma_n=.nan"], "sigma_n=nan"),
    (ONE, ["sigma_n=1e200"], "sigma_n=1e+200: must be at most 1e+50"),
    (ONE, ["mom_pred=1"], "mom_pred=1.0: must be at least 0 and below 1"),
    (ONE, ["mom_enc=.nan"], "mom_enc=nan"),
    (ONE, ["spectrum=linear"], "spectrum=linear: expected one of lin, log"),
    (ONE, ["spectrum_range=[0,1]"], "spectrum_range=[0.0, 1.0]"),
    (ONE, ["spectrum_range=[2,1]"], "spectrum_range=[2.0, 1.0]"),
    (ONE, ["spectrum_range=[1,.nan]"], "spectrum_range=[1.0, nan]"),
    (ONE, ["spectrum_range=[1]"], "spectrum_range=[1.0]"),
    (ONE, ["population=true", "enc=mlp"], "enc=mlp pred=linear have no exact moments"),
    (ONE, ["population=true", "pred=mlp"], "enc=linear pred=mlp have no exact moments"),
    (GRID, ["population=true"], "an infinite batch has no size; give one"),
    (ONE, ["stop_gradient=false"], "stop_gradient=false and ema_m=0.999 contradict"),
    (ONE, ["enc=conv"], "enc=conv: expected one of linear, mlp"),
    (ONE, ["pred=conv"], "pred=conv: expected one of linear, mlp, none"),
    (ONE, ["enc_init=pin"], "enc_init=pin"),
    (ONE, ["enc=mlp", "enc_init=pinv"], "enc=mlp has no such start"),
    (ONE, ["enc_init_scale=2"], "only enc_init=random and enc_init=perturbed have it"),
    (ONE, ["pred=mlp", "pred_init=identity"], "only pred=linear has it"),
    (ONE, ["enc=mlp", "pred_init=optimal"], "pred_init=optimal"),
    (
        ONE,
        ["hardware.devices=2"],
        "hardware.devices=2: the toy trains all of its runs on one device",
    ),
    (ONE, ["hardware.threads=0"], "hardware.threads=0"),
    (ONE, ["hardware.compile=true"], "the toy has nothing to compile"),
    (ONE, ["max_wall_s=0"], "max_wall_s=0.0: must be above 0"),
    (ONE, ["on_existing=over"], "on_existing=over: expected one of resume, restart, error"),
    (ONE, ["runs_dir= "], "runs_dir"),
    (ONE, ["figures=perhaps"], "figures"),
    (ONE, ["sweep.report=views_grid"], "sweep.report=views_grid"),
]
COMMANDS = [
    (["tau_logspce=[1e-4,1e-1,4]"], "tau_logspce: no such key; did you mean 'tau_logspace'?"),
    (["+sigma=3"], "did you mean 'sigma_n'?"),
    (["epoch=3"], "did you mean 'epochs'?"),
    (["model=seq_jepa_small"], "model: the linear BYOL toy has no such group"),
    (["dataset=digits_rot"], "dataset: the linear BYOL toy has no such group"),
    (["loss.lambda_rate=1"], "loss: the linear BYOL toy has no such group"),
    (["+loss.lambda_rate=1"], "loss: the linear BYOL toy has no such group"),
    (["tier=smoke"], "tier: the linear BYOL toy has no such group"),
    (["recipe=tuned"], "recipe: the linear BYOL toy has no such group"),
    (["logger=wandb"], "logger: the linear BYOL toy has no such group"),
    (["aux=vicreg"], "aux: the linear BYOL toy has no such group"),
    (["probes.hidden=3"], "probes: the linear BYOL toy has no such group"),
    (["seed=1,2"], "seed"),
    (["runs_dir=läufe"], "quote the value"),
    (["lr_enc_mode=auto", "lr_pred=1e-3"], "contradict"),
    (["-m", "lr_enc_mode=same,sam"], "lr_enc_mode=sam"),
    (["runs_dir=/proc/nowhere"], "runs_dir=/proc/nowhere: cannot write"),
    (["hardware=cpuu"], "did you mean 'cpu'?"),
    (["lr_enc_logspace=???"], "lr_enc_logspace=???: a value is needed"),
    (["epochs=1000000000000"], "epochs=1000000000000: the run takes"),
    (["~sweep"], "~sweep: a run needs sweep"),
]


@pytest.mark.parametrize(
    ("experiment", "overrides", "line"), BAD, ids=[" ".join(overrides) for _, overrides, _ in BAD]
)
def test_an_invalid_setting_raises_an_error_of_one_line(
    experiment: str, overrides: list[str], line: str
) -> None:
    with pytest.raises(UserError) as refused:
        configure(*overrides, experiment=experiment)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "line"), COMMANDS, ids=[" ".join(overrides) for overrides, _ in COMMANDS]
)
def test_an_invalid_command_exits_with_code_2_and_writes_nothing(
    overrides: list[str], line: str, tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = command("+experiment=linear_byol", "epochs=2", "figures=false", *overrides)
    assert code == 2
    (own,) = err.strip().splitlines()
    assert own.startswith("jepa_lab: ")
    assert line in own
    assert not list(tmp_path.iterdir())


def test_values_at_the_edge_of_their_range_are_accepted() -> None:
    for overrides in (
        ["ema_m=0"],
        ["sigma_n=0"],
        ["d_latent=100"],
        ["d_latent=1", "d_obs=1"],
        ["batch_size=1"],
        ["lr_pred=0"],
        ["lr_enc=0"],
        ["mom_pred=0"],
        ["epochs=1"],
        ["log_every=100000"],
        ["seed=0"],
        ["seed=9223372036854775807"],
        ["spectrum_range=[1,1]"],
        ["stop_gradient=false", "ema_m=0"],
    ):
        configure(*overrides)
    configure("tau_logspace=[1e-3,1,4]", "lr_pred_logspace=[1e-2,1e-5,4]", experiment=GRID)
    configure("tau_logspace=[0.5,0.5,1]", experiment=GRID)
    configure("population=true", "batch_size=1", experiment=GRID)
