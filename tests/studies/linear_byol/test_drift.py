"""The toy's verdict on the drift from the optimum at which a run starts. References are those of
the closed form."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from jepa_lab.diagnosis import Verdict
from jepa_lab.metrics.linear_theory import (
    covariances,
    encoder_errors,
    irreducible_loss,
    optimal_predictor,
    population_loss,
    predictor_errors,
    readout_r2,
)
from jepa_lab.studies.linear_byol.diagnosis import judge_toy
from jepa_lab.studies.linear_byol.outcome import _cells_not_healthy

D, WIDE, ROWS, SIGMA = 6, 20, 30, 0.5
SPECTRUM = torch.tensor([0.5, 0.5, 0.5, 10.0, 20.0, 30.0]).double()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def mixing() -> torch.Tensor:
    return torch.linalg.qr(torch.randn(WIDE, D, generator=generator(), dtype=torch.float64)).Q


def path(kind: str, share: float) -> torch.Tensor:
    """Returns an encoder on the way from A^+ to the end of a drift, at `share` of the way."""
    A = mixing()
    best = torch.linalg.pinv(A)
    noise = torch.linalg.qr(torch.cat([A, torch.randn(WIDE, D, generator=generator()).double()], 1))
    outside = noise.Q[:, D : 2 * D].T  # rows without any signal
    if kind == "rotation":
        turn = torch.linalg.matrix_exp(share * torch.triu(torch.ones(D, D), 1).double())
        return torch.linalg.qr(turn).Q @ best
    if kind == "scales":
        return torch.diag(torch.logspace(0, 1.5 * share, D).double()) @ best
    if kind == "small latents lost":
        keep = torch.ones(D).double()
        keep[: D // 2] = 1 - share
        return keep[:, None] * best + (1 - keep)[:, None] * outside
    if kind == "learned":  # from rows without signal to the large latents alone
        found = torch.cat([torch.zeros(2), torch.ones(D - 2)]).double() * share
        return found[:, None] * best + (1 - found)[:, None] * outside
    return best


def run(kind: str, error: list[float] | None = None, mean: bool = True) -> Verdict:
    """Returns the verdict on a run whose predictor follows its optimum up to an `error`."""
    columns: dict[str, list[Any]] = {"epoch": list(range(10, 10 * ROWS + 1, 10))}
    columns["d_latent"] = [D] * ROWS
    A, turn = mixing(), torch.eye(D).double()
    for row in range(ROWS):
        B = path(kind, row / (ROWS - 1))
        P_star = optimal_predictor(A, B, B, SPECTRUM, SIGMA)
        gap = 1.5 * math.exp(-row / 4) if error is None else error[row]
        P = P_star + gap * turn / D**0.5
        c = covariances(A, B, B, SPECTRUM, SIGMA)
        loss, least = population_loss(c, P), irreducible_loss(c, P_star)
        total, each = readout_r2(A, B, SPECTRUM, SIGMA)
        values = {
            "loss": loss,
            "loss_population": loss,
            "excess_loss": (loss - least) if error is None else 1.0 / (1 + row),
            "readout_r2": total,
            "variance": c.oo.trace(),
            "enc_proj_dist": encoder_errors(A, B)["enc_proj_dist"],
            "W_Fro_aligned": predictor_errors(P, P_star)["W_Fro_aligned"],
        }
        values |= {"readout_r2_mean": each} if mean else {}
        for name, value in values.items():
            columns.setdefault(name, []).append(float(value))
    return judge_toy(columns)


@pytest.mark.parametrize("kind", ["none", "rotation", "scales", "learned"])
def test_a_drift_that_the_predictor_follows_is_healthy(kind: str) -> None:
    verdict = run(kind)
    assert verdict.status == "healthy", verdict.line()


def test_small_latents_that_are_lost_fail_although_the_total_hardly_falls() -> None:
    verdict = run("small latents lost")
    assert verdict.status in ("dimensional_collapse", "no_learning"), verdict.line()
    assert "mean over the latents, fell to" in verdict.line()
    assert run("small latents lost", mean=False).status == "healthy"


def rising(end: float) -> list[float]:
    return [1.5 + (end - 1.5) * i / (ROWS - 1) for i in range(ROWS)]


def test_a_predictor_further_from_its_optimum_than_zeros_is_a_drift() -> None:
    verdict = run("none", rising(16.0))
    assert (verdict.status, verdict.tap) == ("unstable", "z")
    assert "drifted from the optimum it started at" in verdict.line()
    assert "at most 2.45 there" in verdict.line()


@pytest.mark.parametrize(
    "error",
    [
        rising(2.0),  # below the error of a predictor of zeros
        [*rising(8.0)[:20], *[8.0 * 0.8**i for i in range(10)]],  # on its way back
        [1.5, *[0.1] * 28, 9.0],  # one row
    ],
    ids=["small", "returns", "one row"],
)
def test_a_small_or_passing_error_of_the_predictor_is_healthy(error: list[float]) -> None:
    verdict = run("none", error)
    assert verdict.status == "healthy", verdict.line()


def test_a_run_that_did_not_start_at_the_optimum_cannot_drift_from_it() -> None:
    assert run("learned", rising(16.0)).status == "healthy"


def test_a_drift_that_came_before_the_loss_of_latents_is_named() -> None:
    verdict = run("small latents lost", rising(16.0))
    assert verdict.status in ("dimensional_collapse", "no_learning")
    assert "before it, unstable since step" in verdict.line()


def test_the_line_of_a_grid_names_the_cells_that_are_not_healthy() -> None:
    def cell(alpha: float, tau: float) -> Any:
        settings = {"lr_pred_setting": alpha, "lr_enc_setting": alpha}
        settings |= {"tau": tau, "batch_size": 64}
        return SimpleNamespace(settings=settings)

    runs = [cell(0.01, 0.1), cell(0.01, 0.1), cell(0.001, 0.1), cell(0.01, 0.01)]
    plan: Any = SimpleNamespace(runs=runs)

    def line(*statuses: str) -> str:
        return _cells_not_healthy(plan, [{"verdict": {"status": s}} for s in statuses])

    failed, well = "unstable", "healthy"
    assert line(failed, failed, well, well) == (
        " (not healthy at alpha 0.01, tau 0.1, batch 64: 2)"
    )
    assert line(well, well, well, well) == ""
    assert line(failed, failed, failed, failed) == ""
