from typing import Any

import pytest

from jepa_lab.report.comparison.differences import differences, natural, setting_text


def config(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns a nested configuration from dotted keys."""
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


def test_the_experiment_is_the_first_column_and_the_seed_the_last() -> None:
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


def test_equal_configurations_have_no_differences() -> None:
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
def test_place_and_monitoring_of_a_run_are_no_differences(key: str) -> None:
    assert columns({key: 1}, {key: 2}) == []


def test_a_key_that_shares_a_prefix_with_an_ignored_key_is_a_difference() -> None:
    assert columns({"sweeping": 1}, {"sweeping": 2}) == ["sweeping"]


def test_an_option_is_in_the_column_of_its_group_and_hides_its_own_keys() -> None:
    ema = {"target.name": "ema", "target.momentum": 0.99}
    stopgrad = {"target.name": "stopgrad", "target.momentum": None}
    assert differences([config(ema), config(stopgrad)]) == [
        {"target": "ema"},
        {"target": "stopgrad"},
    ]
    assert columns(ema, {"target.name": "stopgrad"}) == ["target"]
    small = {"encoder.name": "small", "encoder.widths": [32]}
    assert columns(small, {"encoder.name": "large", "encoder.widths": []}) == ["encoder"]


def test_a_key_that_varies_within_an_option_is_shown() -> None:
    ema = [{"target.name": "ema", "target.momentum": x} for x in (0.9, 0.99)]
    assert columns(*ema, {"target.name": "stopgrad"}) == ["target", "target.momentum"]


def test_a_key_that_both_options_have_with_different_values_is_shown() -> None:
    assert columns({"optim.name": "a", "optim.lr": 0.1}, {"optim.name": "b", "optim.lr": 0.2}) == [
        "optim",
        "optim.lr",
    ]


def test_a_derived_value_is_shown_only_if_its_sources_do_not_explain_it() -> None:
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


def test_the_budget_of_a_tier_is_hidden_unless_a_run_overrides_it() -> None:
    def run(tier: str, epochs: int) -> dict[str, Any]:
        tiers = {"dataset.tiers.smoke.epochs": 2, "dataset.tiers.quick.epochs": 60}
        return {"tier.name": tier, "dataset.epochs": epochs, **tiers}

    assert columns(run("smoke", 2), run("quick", 60)) == ["tier"]
    assert columns(run("smoke", 2), run("quick", 30)) == ["tier", "dataset.epochs"]


def test_lists_are_compared_as_a_whole() -> None:
    same, other = {"encoder.widths": [32, 64]}, {"encoder.widths": [64, 32]}
    assert columns(same, dict(same)) == []
    assert differences([config(same), config(other)]) == [same, other]


def test_missing_equals_null_and_1_equals_1_point_0() -> None:
    assert columns({"optim.clip": None}, {}) == []
    assert columns({"optim.clip": 1}, {"optim.clip": 1.0}) == []


def test_settings_are_ordered_null_numbers_texts_lists() -> None:
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
def test_settings_are_written_as_on_the_command_line(value: Any, text: str) -> None:
    assert setting_text(value) == text


def test_auxiliary_losses_are_one_column_and_their_varying_keys_others() -> None:
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
