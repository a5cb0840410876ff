from typing import Any

import pytest

from jepa_lab.report.comparison.differences import differences, natural, setting_text


def config(settings: dict[str, Any]) -> dict[str, Any]:
    """A nested configuration from dotted keys."""
    nested: dict[str, Any] = {"name": "b"}
    for key, value in settings.items():
        *groups, leaf = key.split(".")
        node = nested
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = value
    return nested


def columns(*configs: dict[str, Any]) -> list[str]:
    found = differences([config(settings) for settings in configs])
    assert all(list(one) == list(found[0]) for one in found)
    return list(found[0])


def test_the_experiment_stands_first_and_the_seed_last() -> None:
    first = {"seed": 0, "loss.alpha": 1.0, "loss.lambda_rate": 0.1}
    assert columns(first, {"name": "a", "seed": 1, "loss.alpha": 2.0, "loss.lambda_rate": 0.1}) == [
        "experiment",
        "loss.alpha",
        "seed",
    ]
    assert differences([config(first), config({**first, "name": "a"})]) == [
        {"experiment": "b"},
        {"experiment": "a"},
    ]


def test_nothing_differs_from_itself() -> None:
    assert differences([]) == []
    assert columns({"seed": 1}) == columns({"seed": 1}, {"seed": 1}) == []


UNSEEN = [
    *(
        "runs_dir",
        "on_existing",
        "logger.name",
        "hardware.accelerator",
        "expected.tuned.key",
        "max_wall_s",
    ),
    *(
        "sweep.fail_fast",
        "monitor.save_every_s",
        "dataset.tiers.quick.epochs",
        "recipe.lambda_rate",
    ),
]


@pytest.mark.parametrize("key", UNSEEN)
def test_where_and_how_watched_a_run_was_is_no_difference(key: str) -> None:
    assert columns({key: 1}, {key: 2}) == []


def test_a_key_that_only_begins_like_an_unseen_one_is_a_difference() -> None:
    assert columns({"sweeping": 1}, {"sweeping": 2}) == ["sweeping"]


def test_the_option_of_a_group_stands_under_the_group_and_hides_what_the_other_option_lacks() -> (
    None
):
    ema = {"target.name": "ema", "target.momentum": 0.99}
    stopgrad = {"target.name": "stopgrad", "target.momentum": None}
    assert differences([config(ema), config(stopgrad)]) == [
        {"target": "ema"},
        {"target": "stopgrad"},
    ]
    assert columns(ema, {"target.name": "stopgrad"}) == ["target"]
    small = {"encoder.name": "small", "encoder.widths": [32]}
    assert columns(small, {"encoder.name": "large", "encoder.widths": []}) == ["encoder"]


def test_a_key_of_an_option_that_varies_within_the_option_is_shown() -> None:
    ema = [{"target.name": "ema", "target.momentum": x} for x in (0.9, 0.99)]
    assert columns(*ema, {"target.name": "stopgrad"}) == ["target", "target.momentum"]


def test_a_key_that_both_options_have_with_other_values_is_shown() -> None:
    assert columns({"optim.name": "a", "optim.lr": 0.1}, {"optim.name": "b", "optim.lr": 0.2}) == [
        "optim",
        "optim.lr",
    ]


def test_a_value_that_the_run_derived_is_shown_only_where_its_sources_do_not_explain_it() -> None:
    def ema(epochs: int, tau: float) -> dict[str, Any]:
        return {"target.name": "ema", "target.tau": tau, "dataset.epochs": epochs}

    assert columns(ema(10, 0.9), ema(20, 0.95)) == ["dataset.epochs"]
    assert columns(ema(10, 0.9), ema(20, 0.95), ema(20, 0.99)) == ["target.tau", "dataset.epochs"]


def test_the_number_of_views_follows_the_length_of_the_sequence() -> None:
    by_length = [{"dataset.seq_len": m, "dataset.n_views": m + 1} for m in (1, 2)]
    assert columns(*by_length) == ["dataset.seq_len"]
    assert columns(*({"dataset.seq_len": None, "dataset.n_views": v} for v in (3, 4))) == [
        "dataset.n_views"
    ]


def test_the_budget_of_a_tier_follows_the_tier_unless_a_run_chose_its_own() -> None:
    def run(tier: str, epochs: int) -> dict[str, Any]:
        tiers = {"dataset.tiers.smoke.epochs": 2, "dataset.tiers.quick.epochs": 60}
        return {"tier.name": tier, "dataset.epochs": epochs, **tiers}

    assert columns(run("smoke", 2), run("quick", 60)) == ["tier"]
    assert columns(run("smoke", 2), run("quick", 30)) == ["tier", "dataset.epochs"]


def test_lists_are_compared_as_wholes() -> None:
    same, other = {"encoder.widths": [32, 64]}, {"encoder.widths": [64, 32]}
    assert columns(same, dict(same)) == []
    assert differences([config(same), config(other)]) == [same, other]


def test_a_missing_key_and_null_are_the_same_and_so_are_1_and_1_point_0() -> None:
    assert columns({"optim.clip": None}, {}) == []
    assert columns({"optim.clip": 1}, {"optim.clip": 1.0}) == []


def test_the_order_of_settings_is_null_then_numbers_by_value_then_texts_then_lists() -> None:
    values = [[64], "auto", 100, [9, 8], 1e-05, None, 9]
    assert sorted(values, key=natural) == [None, 1e-05, 9, 100, "auto", [9, 8], [64]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.001, "0.001"),
        (1e-05, "1e-05"),
        (64, "64"),
        (True, "true"),
        (None, "null"),
        ([32, 64], "[32,64]"),
        ("z", "z"),
    ],
)
def test_settings_are_written_as_they_would_be_typed(value: Any, text: str) -> None:
    assert setting_text(value) == text


def test_the_arms_of_aux_are_one_column_and_their_keys_columns_where_runs_of_one_arm_differ() -> (
    None
):
    def run(lambda_rate: float = 0.0, **arms: dict[str, object]) -> dict[str, object]:
        return {"name": "x", "seed": 0, "loss": {"lambda_rate": lambda_rate}, "aux": arms}

    vicreg, rate = (
        {"_target_": "a.B", "weight": 1.0, "site": ["z_hat", "z_target"]},
        {"weight": 0.1},
    )
    runs = [
        run(),
        run(vicreg=vicreg),
        run(0.1, coding_rate=rate),
        run(0.1, vicreg=vicreg, coding_rate=rate),
    ]
    assert differences(runs) == [
        {"aux": "none"},
        {"aux": "vicreg"},
        {"aux": "coding_rate"},
        {"aux": "[vicreg,coding_rate]"},
    ]
    swept = [run(), run(vicreg=vicreg), run(vicreg={**vicreg, "weight": 2.0})]
    assert differences(swept) == [
        {"aux": "none", "aux.vicreg.weight": None},
        {"aux": "vicreg", "aux.vicreg.weight": 1.0},
        {"aux": "vicreg", "aux.vicreg.weight": 2.0},
    ]
    assert differences([run(0.1), run(0.2)]) == [
        {"loss.lambda_rate": 0.1},
        {"loss.lambda_rate": 0.2},
    ]
    old = run()
    del old["aux"]
    assert differences([old, run(vicreg=vicreg)]) == [{"aux": "none"}, {"aux": "vicreg"}]
