"""Chance, skill and gains of ArcMonitor for rows with known answers."""

from __future__ import annotations

import math

import pytest
import torch

from jepa_lab.studies.arc.monitor import prediction_values


def rows(n: int = 40, d: int = 12) -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    target, noise, copied = (torch.randn(n, d, generator=source) for _ in range(3))
    return {
        "z_hat": target,
        "z_target": target,
        "copied": copied,
        "unpredicted": noise,
        "task": torch.arange(n) // 2,
    }


def test_the_loss_is_infonce_against_the_targets_of_all_other_tasks() -> None:
    given = rows()
    values = prediction_values(given, 0.5)
    q, t = (torch.nn.functional.normalize(given[k].double(), dim=1) for k in ("z_hat", "z_target"))
    cosine = (q @ t.T / 0.5).exp()
    longhand = []
    for i in range(40):
        others = [j for j in range(40) if given["task"][j] != given["task"][i]]
        longhand.append(-math.log(cosine[i, i] / (cosine[i, i] + cosine[i, others].sum())))
    assert values["loss/prediction"] == pytest.approx(sum(longhand) / 40, rel=1e-5)
    assert values["info_nce/chance"] == pytest.approx(math.log(1 + 38))
    assert values["skill"] == pytest.approx(1 - values["loss/prediction"] / math.log(39), rel=1e-6)


def test_a_constant_answer_to_constant_targets_has_no_skill() -> None:
    same = torch.ones(40, 12)
    values = prediction_values({**rows(), "z_hat": same, "z_target": same, "copied": same}, 0.1)
    assert values["skill"] == pytest.approx(0.0, abs=1e-6)
    assert values["copy_gain"] == pytest.approx(0.0, abs=1e-6)
    assert values["retrieval/top1"] == 0.0


def test_only_a_good_prediction_beats_a_copy_and_other_demonstrations() -> None:
    given = rows()
    good = prediction_values({**given, "blind": given["unpredicted"]}, 0.1)
    assert good["copy_gain"] > 1
    assert good["demo_gain"] > 1
    deaf = prediction_values(
        {**given, "z_hat": given["unpredicted"], "blind": given["unpredicted"]}, 0.1
    )
    assert deaf["demo_gain"] == 0.0
    copying = prediction_values({**given, "z_hat": given["copied"]}, 0.1)
    assert copying["copy_gain"] == 0.0
    assert copying["retrieval/top1"] == copying["retrieval/copy_top1"]


def test_gains_are_missing_without_demonstrations_or_with_a_single_task() -> None:
    assert "demo_gain" not in prediction_values(rows(), 0.1)
    assert prediction_values({**rows(), "task": torch.zeros(40, dtype=torch.int64)}, 0.1) == {}


def test_the_number_of_candidates_is_logged() -> None:
    assert prediction_values(rows(), 0.1)["retrieval/candidates"] == 38


def test_a_diverged_network_has_nan_in_place_of_a_loss_or_a_rank() -> None:
    broken = {**rows(), "z_hat": torch.full((40, 12), math.nan)}
    values = prediction_values(broken, 0.1)
    assert math.isnan(values["loss/prediction"])
    assert math.isnan(values["retrieval/top1"])
    assert math.isfinite(values["retrieval/copy_top1"])
    assert math.isnan(prediction_values(rows(), math.nan)["loss/prediction"])
