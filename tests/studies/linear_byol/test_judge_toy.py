"""The verdict on the toy: each status from the columns that show it. Missing columns raise no
error."""

import math

import pytest

from jepa_lab.studies.linear_byol.diagnosis import judge_toy

EPOCHS = [1.0 * i for i in range(1, 31)]
FALLING = [math.exp(-i / 5) for i in range(30)]


def columns(**changes: list[float]) -> dict[str, list[float]]:
    base = {
        "epoch": EPOCHS,
        "loss": [0.5 + e for e in FALLING],
        "excess_loss": FALLING,
        "erank_encoded": [8.0] * 30,
        "variance": [8.0] * 30,
        "d_latent": [8.0] * 30,
        "diverged": [0.0] * 30,
        "diverged_step": [-1.0] * 30,
        "lr_pred": [0.1] * 30,
        "alpha_bound": [0.4] * 30,
    }
    return base | changes


def test_a_falling_excess_loss_is_healthy() -> None:
    verdict = judge_toy(columns())
    assert verdict.status == "healthy"
    assert verdict.confidence > 0.9
    assert verdict.evidence["erank_encoded"] == 8.0


def test_a_run_that_stays_at_its_optimum_is_healthy() -> None:
    assert judge_toy(columns(excess_loss=[1e-6] * 30)).status == "healthy"


def test_a_constant_error_is_no_learning() -> None:
    assert judge_toy(columns(excess_loss=[1.0] * 30)).status == "no_learning"


def test_a_flagged_divergence_reports_its_step_and_suggests_a_stable_rate() -> None:
    marked = columns(
        diverged=[0.0] * 29 + [1.0], diverged_step=[-1.0] * 29 + [27.0], lr_pred=[0.9] * 30
    )
    verdict = judge_toy(marked)
    assert (verdict.status, verdict.since_step) == ("diverged", 27)
    assert "below 0.4" in verdict.next[0]


def test_a_loss_that_is_not_finite_is_a_divergence_without_a_flag() -> None:
    verdict = judge_toy(columns(loss=[1.0] * 20 + [math.inf] * 10))
    assert (verdict.status, verdict.since_step) == ("diverged", 21)


@pytest.mark.parametrize(
    ("name", "values", "status"),
    [
        ("variance", [8.0] * 10 + [1e-4] * 20, "complete_collapse"),
        ("erank_encoded", [8.0] * 10 + [1.1] * 20, "dimensional_collapse"),
    ],
)
def test_a_collapse_has_the_step_at_which_it_began(
    name: str, values: list[float], status: str
) -> None:
    verdict = judge_toy(columns(**{name: values}))
    assert (verdict.status, verdict.tap, verdict.since_step) == (status, "z", 11)


def test_a_one_dimensional_code_of_rank_one_is_healthy() -> None:
    assert judge_toy(columns(erank_encoded=[1.0] * 30, d_latent=[1.0] * 30)).status == "healthy"


def test_missing_columns_are_reported_and_few_rows_are_inconclusive() -> None:
    assert "none of excess_loss" in judge_toy({"epoch": EPOCHS, "loss": FALLING}).line()
    assert (
        judge_toy(
            {"epoch": EPOCHS, "W_Fro_aligned": FALLING, "excess_loss": [math.nan] * 30}
        ).status
        == "healthy"
    )
    assert judge_toy({"epoch": [1.0], "excess_loss": [1.0]}).status == "inconclusive"
    assert judge_toy({}).status == "inconclusive"


def test_a_prediction_no_better_than_a_constant_is_no_learning() -> None:
    verdict = judge_toy(columns(loss_share=[1.2] * 10 + [0.9] * 20))
    assert (verdict.status, verdict.since_step) == ("no_learning", 1)
    assert judge_toy(columns(loss_share=[1.2] * 10 + [0.5] * 20)).status == "healthy"


def test_a_prediction_that_still_improves_is_not_called_no_learning() -> None:
    assert judge_toy(columns(loss_share=[1.5 - 0.02 * i for i in range(30)])).status == "healthy"


@pytest.mark.parametrize(("rank", "status"), [(5.0, "dimensional_collapse"), (8.0, "no_learning")])
def test_a_fallen_read_out_of_the_latents_is_a_failure_at_any_variance(
    rank: float, status: str
) -> None:
    lost = columns(readout_r2=[0.9] * 10 + [0.6] * 20, erank_encoded=[8.0] * 10 + [rank] * 20)
    verdict = judge_toy(lost)
    assert (verdict.status, verdict.since_step) == (status, 11)
    assert (
        judge_toy(columns(readout_r2=[0.9] * 29 + [0.88], erank_encoded=[8.0] * 29 + [rank])).status
        == "healthy"
    )
