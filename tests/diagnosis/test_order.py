"""Of several failures the one that came first is named with its own step, whatever came later."""

from __future__ import annotations

import math

import pytest

from feature_histories import STEPS, history, line, then
from jepa_lab.diagnosis import judge

NAN = math.nan
LOGGED = [20 * (i + 1) for i in range(60)]


def losses(values: list[float]) -> list[tuple[int, float]]:
    return list(zip(LOGGED, values, strict=True))


def broken(at: int) -> list[tuple[int, float]]:
    return losses([0.5] * at + [NAN] * (60 - at))


CASES = {
    "codebook, then a loss that is not finite": (
        history(codebook__usage=then(0.6, 0.02, 3)) | {"train/loss/total": broken(40)},
        "diverged since step 820: train/loss/total is not finite; before it, codebook_collapse of"
        " codebook since step 400: 2.0 % of the codes in use",
    ),
    "rank, then features that are not finite": (
        history([20.0] * 4 + [1.2] * 4 + [NAN] * 4),
        "diverged of z since step 900: features are not finite; before it, dimensional_collapse of"
        " z since step 500: effective rank 1.2",
    ),
    "half of the rank, then a loss that is not finite": (
        history(then(60, 18, 4)) | {"train/loss/total": broken(50)},
        "before it, low_rank of z since step 500: effective rank fell from 60.0 to 18.0, at once at"
        " step 500",
    ),
    "loss, then features": (
        history(then(30, NAN, 8)) | {"train/loss/total": broken(30)},
        "diverged since step 620: train/loss/total is not finite",
    ),
    "one term, then the total and the gradients": (
        history()
        | {"train/loss/variance": broken(20), "train/loss/total": broken(24)}
        | {"train/grad_norm": broken(22)},
        "diverged since step 420: train/loss/variance is not finite",
    ),
    "spikes, then a collapse": (
        history(then(30, 1.2, 10))
        | {"train/loss/total": losses([8.0 if i in (20, 28, 36) else 1.0 for i in range(60)])},
        "before it, unstable since step 420: 3 spikes",
    ),
    "a skill that broke, then a collapse": (
        history(then(30, 1.2, 9), skill=then(0.7, 0.1, 5)),
        "dimensional_collapse of z since step 1000: effective rank 1.2",
    ),
    "a collapse of rank, then of everything": (
        history(
            [20.0] * 4 + [1.2] * 8,
            [0.8] * 8 + [0.001] * 4,
            z__mean_pairwise_cosine=[0.2] * 8 + [0.9999] * 4,
        ),
        "complete_collapse of z since step 900",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_first_failure_is_named_with_its_step(case: str) -> None:
    curves, text = CASES[case]
    line = judge(curves, taps=("z",)).line()
    assert text in line, line


def test_what_came_before_a_collapse_is_named() -> None:
    line = judge(CASES["a skill that broke, then a collapse"][0], taps=("z",)).line()
    assert "before it, unstable since step 600: skill fell from 0.70 to 0.10" in line
    line = judge(CASES["a collapse of rank, then of everything"][0], taps=("z",)).line()
    assert "before it, dimensional_collapse of z since step 500: effective rank 1.2" in line


def test_the_tap_that_fell_first_is_named_among_taps_of_one_status() -> None:
    curves = history(then(20, 1.2, 9))
    curves |= {k.replace("/z/", "/z_agg/"): p for k, p in history(then(20, 1.2, 3)).items()}
    verdict = judge(curves, taps=("z", "z_agg"))
    assert (verdict.tap, verdict.since_step) == ("z_agg", 400)


@pytest.mark.parametrize(
    "curves",
    [
        # it recovered before the loss broke
        history([20.0] * 3 + [1.2] * 3 + [20.0] * 6),
        # it is no failure
        history(codebook__usage=line(0.9, 0.7)),
        # it came later
        history(codebook__usage=then(0.6, 0.02, 11)),
    ],
    ids=["recovered", "harmless", "later"],
)
def test_nothing_is_named_that_did_not_come_first_and_last(curves: dict[str, list]) -> None:
    verdict = judge(curves | {"train/loss/total": broken(50)}, taps=("z",))
    assert verdict.status == "diverged"
    assert "before it" not in verdict.line()
    assert verdict.since_step == 1020
    assert STEPS[-1] == 1200


def test_a_prediction_that_never_learned_is_not_named_before_a_collapse() -> None:
    verdict = judge(history(then(30, 1.2, 9), skill=0.0), taps=("z",))
    assert verdict.status == "dimensional_collapse"
    assert "before it" not in verdict.line()
