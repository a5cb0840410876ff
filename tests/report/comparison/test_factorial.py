"""Main effects: known effects of complete factorials are recovered, incomplete ones have none."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from jepa_lab.report.comparison.factorial import effects_text, main_effects
from jepa_lab.report.comparison.table import Comparison

METRIC = "test/probe/class_from_z_agg"
Row = dict[str, Any]


def row(target: str, rate: float, schedule: str, seed: int) -> Row:
    value = 0.5 + 0.01 * seed + 0.1 * (rate > 0) - 0.02 * (schedule == "constant")
    settings = {
        "target": target,
        "loss.lambda_rate": rate,
        "optim.schedule": schedule,
        "seed": seed,
    }
    name = "-".join(map(str, settings.values()))
    return {**settings, "run": name, "state": "completed", METRIC: value, "verdict": "healthy"}


ROWS = [
    row(*cell) for cell in product(("ema", "stopgrad"), (0, 0.01), ("constant", "cosine"), range(3))
]


def comparison(rows: list[Row]) -> Comparison:
    return Comparison(list(rows[0]), rows)


def test_each_effect_is_recovered() -> None:
    effects = main_effects(comparison(ROWS), [METRIC], {"optim.schedule": "cosine"})
    found = {(e.factor, e.level, e.base): e for e in effects}
    assert found.keys() == {
        ("target", "stopgrad", "ema"),
        ("loss.lambda_rate", "0.01", "0"),
        ("optim.schedule", "constant", "cosine"),
    }
    expected = {"target": 0.0, "loss.lambda_rate": 0.1, "optim.schedule": -0.02}
    for (factor, *_), effect in found.items():
        assert effect.difference.mean == pytest.approx(expected[factor], abs=1e-12)
        assert (effect.difference.n, effect.cells) == (3, 4)
        assert effect.p_holm >= effect.difference.p


def test_an_interaction_is_averaged_over_the_other_settings() -> None:
    rows = [dict(r) for r in ROWS]
    for r in rows:
        if r["loss.lambda_rate"] and r["optim.schedule"] == "constant":
            r[METRIC] += 0.04
    effects = main_effects(comparison(rows), [METRIC])
    (rate,) = (e for e in effects if e.factor == "loss.lambda_rate")
    assert rate.difference.mean == pytest.approx(0.12)


def test_a_seed_counts_only_if_every_combination_has_it() -> None:
    rows = [dict(r) for r in ROWS]
    rows[0]["state"] = "failed"
    assert {e.difference.n for e in main_effects(comparison(rows), [METRIC])} == {2}


@pytest.mark.parametrize(
    "rows",
    [
        [
            r for r in ROWS if not (r["target"] == "ema" and r["loss.lambda_rate"] == 0)
        ],  # a combination is missing
        [r for r in ROWS if r["target"] == "ema" and r["optim.schedule"] == "cosine"],  # one factor
    ],
)
def test_an_incomplete_factorial_has_no_main_effects(rows: list[Row]) -> None:
    assert main_effects(comparison(rows), [METRIC]) == []
    assert effects_text([]) == ""


def test_the_text_has_both_levels_and_percent_points() -> None:
    text = effects_text(main_effects(comparison(ROWS), [METRIC]))
    assert "loss.lambda_rate=0.01 minus 0 " in text
    assert " 10.0 [10.0, 10.0]" in text
    assert "3 seeds, 4 combinations" in text
