"""A population compared with a run that is written out in full, closed forms compared with
autograd, and independence of runs from each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jepa_lab.metrics.linear_theory import balance
from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.data import CHUNK, make_groups
from jepa_lab.studies.linear_byol.diagnosis import judge_toy
from jepa_lab.studies.linear_byol.grid import members
from jepa_lab.studies.linear_byol.module import Block, LinearBYOL
from jepa_lab.studies.linear_byol.monitor import Blocks, ToyRows
from toy_configs import configure

SMALL = [
    "d_latent=3",
    "d_obs=8",
    "batch_size=4",
    "epochs=40",
    "log_every=5",
    "mom_pred=0.9",
    "mom_enc=0.8",
]
CASES = {
    "linear": [],
    "no predictor": ["pred=none"],
    "symmetric": ["symmetric=true"],
    "no stop-gradient": ["stop_gradient=false", "ema_m=0"],
    "no stop-gradient, no predictor": [
        "stop_gradient=false",
        "ema_m=0",
        "pred=none",
        "enc_init=random",
    ],
    "symmetric without the stop": ["symmetric=true", "stop_gradient=false", "ema_m=0"],
    "update periods": ["pred_update_every=2", "enc_update_every=3"],
    "momentum of one": ["mom_enc=0"],
    "a target at once": ["ema_m=0"],
    "columns as drawn": ["orthonormal=false", "spectrum=log", "spectrum_range=[0.1,2]"],
}


def single(*overrides: str) -> ToyConfig:
    (one,) = members(configure(*SMALL, "lr_pred=3e-3", "lr_enc=1e-3", "ema_m=0.9", *overrides))
    return one


def several(count: int, *overrides: str) -> list[ToyConfig]:
    """Returns runs of two seeds and two batch sizes with different rates. An ema_m of 0 among the
    overrides stays."""
    first = single(*overrides)
    found = []
    for i in range(count):
        ema_m = first.ema_m if "ema_m=0" in overrides else 0.9 + 0.01 * i
        rates = {"lr_pred": 5e-4 * (i + 1), "lr_enc": 2e-4 * (i + 1), "ema_m": ema_m}
        found.append(dataclasses.replace(first, **rates, seed=i // 2 % 2, batch_size=4 + i // 4))  # type: ignore[arg-type]
    return found


def train(
    runs: list[ToyConfig], *, log_every: int = 5, until: int | None = None, **options: Any
) -> tuple[LinearBYOL, ToyRows]:
    module = LinearBYOL(runs, **options)
    epochs = runs[0].epochs if until is None else until
    rows = ToyRows(log_every, epochs)
    for block in Blocks(1, epochs, log_every):
        module.training_step(block)
        rows.take(module, block.last)
    return module, rows


def agree(
    a: LinearBYOL, b: LinearBYOL, where: Iterable[tuple[int, int]] | None = None, rtol: float = 1e-5
) -> None:
    """Asserts that all tensors of a training step are equal for the runs (index in a,
    index in b)."""
    for i, j in where or [(k, k) for k in range(len(a.members))]:
        for name in a._names:
            torch.testing.assert_close(
                getattr(a, name)[i],
                getattr(b, name)[j],
                rtol=rtol,
                atol=1e-12,
                msg=lambda m, n=name: f"{n}: {m}",
            )


def longhand(config: ToyConfig) -> dict[str, Tensor]:
    """Trains one run by the published loop: two torch.nn.Linear, two SGD, and a moving average."""
    d, D = config.d_latent, config.d_obs
    (group,) = make_groups([config])
    start = LinearBYOL([config])
    online, target = (nn.Linear(D, d, bias=False, dtype=torch.float64) for _ in range(2))
    predictor: nn.Module = nn.Identity()
    for layer in (online, target):
        layer.load_state_dict({"weight": start.enc_0.data[0].clone()})
    optimizers = {
        "enc": torch.optim.SGD(
            online.parameters(), lr=float(config.lr_enc or 0), momentum=config.mom_enc
        )
    }
    if config.pred == "linear":
        predictor = nn.Linear(d, d, bias=False, dtype=torch.float64)
        predictor.load_state_dict({"weight": start.pred_0.data[0].clone()})
        optimizers["pred"] = torch.optim.SGD(
            predictor.parameters(), lr=float(config.lr_pred or 0), momentum=config.mom_pred
        )
    every = {"pred": config.pred_update_every, "enc": config.enc_update_every}
    for step in range(1, config.epochs + 1):
        chunk = group.data.batches(group.batch_size, (step - 1) // CHUNK)
        x, x_plus = (views[(step - 1) % CHUNK] for views in chunk)
        pairs = [(x, x_plus), (x_plus, x)] if config.symmetric else [(x, x_plus)]
        losses = []
        for a, b in pairs:
            if config.stop_gradient:
                with torch.no_grad():
                    z_t = target(b)
            else:
                z_t = online(b)
            losses.append((predictor(online(a)) - z_t).square().mean())
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        for name, optimizer in optimizers.items():
            if step % every[name] == 0:
                optimizer.step()
        with torch.no_grad():
            m = float(config.ema_m or 0)
            target.weight.copy_(m * target.weight + (1 - m) * online.weight)
    found = {
        "enc_0": online.weight.data,
        "target_0": target.weight.data,
        "loss": torch.stack(losses).mean().data,
    }
    return found | ({"pred_0": predictor.weight.data} if isinstance(predictor, nn.Linear) else {})


@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES.keys())
def test_closed_forms_train_the_same_weights_as_autograd(overrides: list[str]) -> None:
    runs = several(5, *overrides)
    closed, _ = train(runs)
    traced, _ = train(runs, by_autograd=True)
    assert not closed.by_autograd
    assert traced.by_autograd
    agree(closed, traced)
    torch.testing.assert_close(closed.loss, traced.loss, rtol=1e-5, atol=1e-12)
    assert float((closed.enc_0 - LinearBYOL(runs).enc_0).abs().max()) > 1e-3  # it moved


@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES.keys())
def test_training_matches_the_published_loop_written_out(overrides: list[str]) -> None:
    config = single(*overrides, "epochs=150", "log_every=7")
    module, _ = train([config], log_every=7)
    expected = longhand(config)
    for name, value in expected.items():
        torch.testing.assert_close(
            getattr(module, name)[0], value, rtol=1e-9, atol=1e-12, msg=lambda m, n=name: n + m
        )


def test_an_mlp_trains_like_torch_layers() -> None:
    config = single("enc=mlp", "pred=mlp", "hidden=5", "epochs=30")
    module, _ = train([config])
    start = LinearBYOL([config])
    d, D = config.d_latent, config.d_obs

    def mlp(part: str, inputs: int) -> nn.Sequential:
        net = nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, d, bias=False)).double()
        for parameter, value in zip(net.parameters(), start.weights(part), strict=True):
            parameter.data.copy_(value[0])
        return net

    online, target, predictor = mlp("enc", D), mlp("enc", D), mlp("pred", d)
    parts = [(online, config.lr_enc, config.mom_enc), (predictor, config.lr_pred, config.mom_pred)]
    optimizers = [
        torch.optim.SGD(p.parameters(), lr=float(lr or 0), momentum=mu) for p, lr, mu in parts
    ]
    (group,) = make_groups([config])
    views = group.data.batches(group.batch_size, 0)
    for x, x_plus in zip(*(v[: config.epochs] for v in views), strict=True):
        with torch.no_grad():
            z_t = target(x_plus)
        for optimizer in optimizers:
            optimizer.zero_grad()
        (predictor(online(x)) - z_t).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
        with torch.no_grad():
            for old, new in zip(target.parameters(), online.parameters(), strict=True):
                old.copy_(float(config.ema_m or 0) * old + (1 - float(config.ema_m or 0)) * new)
    for part, net in (("enc", online), ("pred", predictor), ("target", target)):
        for found, parameter in zip(module.weights(part), net.parameters(), strict=True):
            torch.testing.assert_close(found[0], parameter.data, rtol=1e-9, atol=1e-12)


def test_a_linear_map_and_an_mlp_train_together() -> None:
    for overrides in (
        ["enc=mlp", "pred=linear"],
        ["enc=linear", "pred=mlp"],
        ["enc=mlp", "pred=none"],
    ):
        module, rows = train(
            [single(*overrides, "hidden=6", "spectrum_range=[0.1,2]", "lr_pred=1e-2", "epochs=60")]
        )
        columns = rows.columns(module)[0]
        assert not columns["diverged"].any()
        assert columns["loss_population"][-1] < columns["loss_population"][0]
        assert ("W_Fro_raw" in columns) == ("pred=linear" in overrides)
        assert ("BA_err_raw" in columns) == ("enc=linear" in overrides)
        assert 0 <= columns["readout_r2"][-1] <= 1


@pytest.mark.parametrize(
    "overrides",
    [[], ["pred=none"], ["stop_gradient=false", "ema_m=0"], ["symmetric=true"]],
    ids=str,
)
def test_an_infinite_batch_is_the_limit_of_large_batches(overrides: list[str]) -> None:
    at_random = ["enc_init=random", "epochs=1", "mom_pred=0", "mom_enc=0"]
    exact = LinearBYOL([single(*overrides, *at_random, "population=true")])
    exact.training_step(Block(1, 1))
    start = LinearBYOL([single(*overrides, *at_random)])
    gaps = []
    for size in (200, 20_000):
        sampled = LinearBYOL([single(*overrides, *at_random, f"batch_size={size}")])
        sampled.training_step(Block(1, 1))
        steps = [(m.enc_0 - start.enc_0).flatten() for m in (sampled, exact)]
        gaps.append(float((steps[0] - steps[1]).norm() / steps[1].norm()))
        torch.testing.assert_close(
            sampled.loss, exact.loss, rtol=0.5 if size == 200 else 0.05, atol=0
        )
    assert gaps[1] < 0.2
    assert gaps[1] < 0.3 * gaps[0]  # a hundred times the samples give a tenth of the gap


def test_the_mean_step_over_batches_is_the_step_of_the_infinite_batch() -> None:
    overrides = ["enc_init=random", "mom_pred=0", "mom_enc=0", "epochs=1"]
    runs = [single(*overrides)]
    exact = LinearBYOL([dataclasses.replace(runs[0], population=True)])
    exact.training_step(Block(1, 1))
    start = LinearBYOL(runs)
    total = torch.zeros_like(start.pred_0.data)
    count = 0
    for chunk in range(60):  # the first step of the same start on other batches
        module = LinearBYOL(runs)
        (group,) = module.groups
        for i in range(0, CHUNK, 8):
            views = group.data.batches(group.batch_size, chunk)
            module.load_state_dict(start.state_dict())
            module._chunks[0] = (0, (views[0][i : i + 1], views[1][i : i + 1]))
            module.training_step(Block(1, 1))
            total += module.pred_0.data - start.pred_0.data
            count += 1
    step = exact.pred_0.data - start.pred_0.data
    assert float((total / count - step).norm() / step.norm()) < 0.1


@pytest.mark.parametrize("symmetric", ["true", "false"])
def test_gradient_flow_conserves_the_balance_of_encoder_and_predictor(symmetric: str) -> None:
    overrides = [
        "population=true",
        "enc_init=random",
        "mom_pred=0",
        "mom_enc=0",
        f"symmetric={symmetric}",
        "epochs=400",
    ]
    runs = [
        single(*overrides, "lr_pred=1e-4", f"lr_enc={beta}", f"ema_m={m}")
        for beta in (1e-4, 3e-4)
        for m in (0, 0.99)
    ]
    module, rows = train(runs, log_every=100)
    start = LinearBYOL(runs)
    begun = balance(start.pred_0.data, start.enc_0.data, start.lr_pred, start.lr_enc)
    moved = balance(module.pred_0.data, module.enc_0.data, module.lr_pred, module.lr_enc) - begun
    drift = moved.flatten(1).norm(dim=1) / begun.flatten(1).norm(dim=1)
    assert float(drift.max()) < 1e-3
    for columns, expected in zip(rows.columns(module), drift.tolist(), strict=True):
        assert columns["balance_drift"][-1] == pytest.approx(expected)
    # while the weights moved
    assert float((module.pred_0 - start.pred_0).norm() / start.pred_0.norm()) > 0.05
    fast, _ = train(
        [single(*overrides, "lr_pred=1e-2", "lr_enc=1e-2", "mom_pred=0.9", "mom_enc=0.9")],
        log_every=100,
    )
    moved = (
        balance(fast.pred_0.data, fast.enc_0.data, fast.lr_pred, fast.lr_enc) - fast.balance_start
    )
    assert float(moved.norm() / fast.balance_start.norm()) > 1e-3


def test_with_a_frozen_encoder_runs_diverge_above_the_stability_bound() -> None:
    overrides = ["d_latent=10", "d_obs=100", "batch_size=512", "epochs=300", "lr_enc=0"]
    runs = [single(*overrides, f"lr_pred={alpha}") for alpha in (0.15, 0.25)]  # the bound is 0.1895
    module, rows = train(runs, log_every=100)
    stable, diverged = rows.columns(module)
    assert module.active.tolist() == [True, False]
    assert stable["alpha_bound"][0] == pytest.approx(10 * 1.9 / 100.25)
    assert stable["loss_population"][-1] < 0.02 * stable["loss_population"][0]
    assert diverged["diverged"].tolist() == [False] * (len(diverged["epoch"]) - 1) + [True]
    assert diverged["epoch"][-1] == diverged["diverged_step"][-1] < 300
    assert diverged["loss"][-1] > 1e4 * stable["loss"][0]
    assert np.isnan(diverged["Hmax"][-1])
    assert judge_toy(diverged).status == "diverged"


def test_without_predictor_teacher_and_stop_gradient_the_verdict_is_collapse() -> None:
    overrides = [
        "pred=none",
        "stop_gradient=false",
        "ema_m=0",
        "enc_init=random",
        "epochs=2000",
        "mom_enc=0",
        "lr_enc=0.1",
    ]
    module, rows = train(
        [single(*overrides, "population=true", "spectrum_range=[0.1,1]")], log_every=20
    )
    columns = rows.columns(module)[0]
    assert columns["variance"][-1] < 1e-3 * columns["variance"][0]
    verdict = judge_toy(columns)
    assert verdict.status == "complete_collapse"
    assert verdict.since_step is not None
    assert 1 < verdict.since_step <= 2000
    kept, rows = train(
        [single(*overrides[2:], "population=true", "spectrum_range=[0.1,1]")], log_every=20
    )
    assert judge_toy(rows.columns(kept)[0]).status not in (
        "complete_collapse",
        "dimensional_collapse",
    )


@pytest.mark.parametrize(
    "overrides", [[], ["enc=mlp", "pred=mlp", "hidden=4"]], ids=["linear", "mlp"]
)
def test_a_run_is_the_same_alone_in_a_grid_and_beside_a_diverging_run(overrides: list[str]) -> None:
    runs = several(8, *overrides)
    grid, grid_rows = train(runs)
    wild = dataclasses.replace(runs[2], lr_pred=1e9, lr_enc=1e9)
    beside, beside_rows = train([*runs[:3], wild, runs[3]])
    assert beside.active.tolist() == [True, True, True, False, True]
    agree(grid, beside, [(0, 0), (1, 1), (2, 2), (3, 4)])
    alone, alone_rows = train([runs[2]])
    agree(grid, alone, [(2, 0)])
    for name, values in alone_rows.columns(alone)[0].items():
        if name == "wall_s":
            continue
        for other in (grid_rows.columns(grid)[2], beside_rows.columns(beside)[2]):
            np.testing.assert_allclose(other[name], values, rtol=1e-5, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    "overrides", [[], ["lr_enc_mode=auto"], ["enc=mlp", "hidden=4"]], ids=["rates", "auto", "mlp"]
)
def test_logging_and_the_number_of_threads_change_no_bit(overrides: list[str]) -> None:
    if "lr_enc_mode=auto" in overrides:
        runs = members(configure(*SMALL, "seed=null", "seeds=[0,1]", "epochs=150", *overrides))
    else:
        runs = several(6, "epochs=150", *overrides)
    often, often_rows = train(runs, log_every=1)
    for log_every, threads in ((7, 1), (1000, 3)):
        other, rows = train(runs, log_every=log_every, threads=threads)
        assert bool(often.active.all())
        for name in often._names:
            assert torch.equal(getattr(often, name), getattr(other, name)), name
        for a, b in zip(often_rows.columns(often), rows.columns(other), strict=True):
            kept = np.isin(a["epoch"], b["epoch"])
            np.testing.assert_array_equal(
                a["W_Fro_raw"][kept] if "W_Fro_raw" in a else a["loss"][kept],
                b["W_Fro_raw"] if "W_Fro_raw" in b else b["loss"],
            )


def test_only_runs_of_one_seed_and_batch_size_share_their_data() -> None:
    runs = several(8)
    groups = make_groups(runs)
    assert [(g.runs.start, g.runs.stop, g.batch_size, g.data.seed) for g in groups] == [
        (0, 2, 4, 0),
        (2, 4, 4, 1),
        (4, 6, 5, 0),
        (6, 8, 5, 1),
    ]
    frozen = [dataclasses.replace(run, lr_pred=0.0, lr_enc=0.0, ema_m=0.5) for run in runs]
    module, _ = train(frozen)
    losses = module.loss.tolist()
    assert losses[::2] == pytest.approx(losses[1::2], rel=1e-12)
    assert len({f"{loss:.6g}" for loss in losses}) == 4


def test_the_step_of_divergence_does_not_depend_on_block_ends() -> None:
    wild = dataclasses.replace(single(), lr_pred=2.0)
    steps = {int(train([wild], log_every=n)[0].diverged_step[0]) for n in (1, 3, 40)}
    assert len(steps) == 1
    assert steps.pop() > 1


def test_weights_that_overflow_before_the_loss_count_as_divergence() -> None:
    for alpha in (1e80, 1e200, 1e307):
        runs = [single(), dataclasses.replace(single(), lr_pred=alpha, lr_enc=alpha)]
        module, rows = train(runs, log_every=1)
        assert module.active.tolist() == [True, False]
        tables = rows.columns(module)
        assert len(tables[0]["epoch"]) == 40
        assert tables[1]["diverged"][-1]
        # its loss was still that of the start
        last, rows = train([dataclasses.replace(run, epochs=1) for run in runs])
        assert judge_toy(rows.columns(last)[1]).status == "diverged"


def test_a_tiny_first_loss_does_not_mark_a_run_as_diverged() -> None:
    overrides = [
        "d_latent=1",
        "d_obs=4",
        "batch_size=1",
        "sigma_n=0.1",
        "epochs=60",
        "lr_enc=0",
        "lr_pred=1e-3",
    ]
    first = single(*overrides)
    runs = [dataclasses.replace(first, seed=seed) for seed in range(60)]
    module, _ = train(runs, log_every=60)
    assert bool(module.active.all())
    silent = single("sigma_n=0", "pred_init=identity", "lr_pred=1e-6", "lr_enc=1e-6")
    assert bool(train([silent])[0].active.all())
