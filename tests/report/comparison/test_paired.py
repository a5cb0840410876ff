import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from jepa_lab.report.comparison.arms import PairedRow, arms, paired_dict, paired_table
from jepa_lab.report.comparison.paired_text import WIDTH, paired_text
from jepa_lab.report.comparison.statistics import holm, mean_interval, paired_difference
from jepa_lab.report.comparison.table import Comparison

CLASS, ACTION, SKILL = "test/probe/class_from_z", "test/probe/relative_action_from_z", "test/skill"
Row = dict[str, Any]


def run(
    settings: Row,
    seed: int,
    value: float | None = 0.5,
    state: str = "completed",
    verdict: str = "healthy",
) -> Row:
    name = "-".join(map(str, [*settings.values(), seed]))
    measured = dict.fromkeys((CLASS, ACTION, SKILL), value)
    return {**settings, "seed": seed, "run": name, "state": state, **measured, "verdict": verdict}


def comparison(*rows: Row) -> Comparison:
    return Comparison(list(rows[0]), list(rows))


def experiment(name: str, *values: float | None) -> list[Row]:
    return [run({"experiment": name}, seed, value) for seed, value in enumerate(values)]


THREE = comparison(
    *experiment("teacher", 0.80, 0.82, 0.81, 0.79),
    *experiment("same", 0.81, 0.82, 0.80, 0.80),
    *experiment("worse", 0.60, 0.63, 0.59, 0.60),
)


def row_of(rows: Sequence[PairedRow], arm: str, metric: str = CLASS) -> PairedRow:
    (found,) = (row for row in rows if (row.arm, row.metric) == (arm, metric))
    return found


# arms


def test_an_arm_has_equal_settings_except_the_seed() -> None:
    rows = [
        run({"experiment": "b", "loss.alpha": alpha}, seed) for seed in (0, 1) for alpha in (1, 2.0)
    ]
    first, second = arms([*rows, run({"experiment": "b", "loss.alpha": 1.0}, 2)])
    assert first.settings == {"experiment": "b", "loss.alpha": 1}
    assert [row["seed"] for row in first.rows] == [0, 1, 2]
    assert first.values(CLASS) == dict.fromkeys(range(3), 0.5)
    assert second.settings["loss.alpha"] == 2.0
    assert arms([]) == []


def test_an_arm_is_named_by_its_distinguishing_settings() -> None:
    names = [
        arm.text
        for arm in arms(
            [
                run({"experiment": "a", "target": "ema", "loss.alpha": 1, "optim": "adam"}, 0),
                run({"experiment": "b", "target": "shared", "loss.alpha": 1, "optim": "adam"}, 0),
                run({"experiment": "b", "target": "shared", "loss.alpha": 2, "optim": "adamw"}, 0),
            ]
        )
    ]
    assert names == ["a loss.alpha=1", "b loss.alpha=1", "b loss.alpha=2"]
    assert [arm.text for arm in arms([run({}, 0), run({}, 1)])] == ["all runs"]


def test_two_completed_runs_with_one_seed_are_an_error() -> None:
    rows = [
        *experiment("a", 0.5, 0.6),
        run({"experiment": "b"}, 0),
        run({"experiment": "b"}, 0, 0.7),
    ]
    with pytest.raises(ValueError, match="b: b-0 and b-0 share a seed"):
        paired_table(comparison(*rows), "a")
    rows[-1]["state"] = "failed"
    assert row_of(paired_table(comparison(*rows), "a"), "b").mean.mean == 0.5


# the control


def test_the_control_is_an_experiment_or_the_settings_of_one_arm() -> None:
    rows = [
        run({"experiment": "b", "loss.alpha": alpha}, seed) for alpha in (1, 2) for seed in (0, 1)
    ]
    table = comparison(*rows, run({"experiment": "a", "loss.alpha": 1}, 0))
    controls: list[Any] = ["a", {"experiment": "a"}]
    for control in controls:
        assert paired_table(table, control)[0].arm == "a loss.alpha=1"
    controls = [{"loss.alpha": 2.0}, "b loss.alpha=2"]
    for control in controls:
        assert paired_table(table, control)[0].arm == "b loss.alpha=2"


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (
            "b",
            "the control b matches several arms: loss.alpha=1; loss.alpha=2; name one by its"
            " settings",
        ),
        ("c", "no arm matches the control c; the arms are: loss.alpha=1; loss.alpha=2"),
        ({"loss.beta": 1}, "no arm matches the control loss.beta=1; the arms"),
    ],
)
def test_a_control_that_matches_no_arm_or_several_is_an_error(control: Any, message: str) -> None:
    table = comparison(*(run({"experiment": "b", "loss.alpha": alpha}, 0) for alpha in (1, 2)))
    with pytest.raises(ValueError) as error:
        paired_table(table, control)
    assert message in str(error.value)


# the numbers


def test_each_arm_has_a_mean_and_a_difference_to_the_control() -> None:
    rows = paired_table(THREE, "same")
    assert [row.arm for row in rows] == ["same", "teacher", "worse"] * 3
    assert [row.metric for row in rows] == [
        metric for metric in (CLASS, ACTION, SKILL) for _ in range(3)
    ]
    control, teacher = rows[0], rows[1]
    assert (control.is_control, control.difference, control.p_holm, control.non_inferiority) == (
        True,
        None,
        None,
        None,
    )
    first, second = ({row["seed"]: row[CLASS] for row in THREE.rows[i : i + 4]} for i in (0, 4))
    assert teacher.difference == paired_difference(first, second)
    assert teacher.mean == mean_interval(first.values())


def test_holm_is_over_the_arms_of_a_metric() -> None:
    rows = paired_table(THREE, "teacher", [CLASS])
    ps = {row.arm: row.difference.p for row in rows if row.difference}
    assert ps == {"same": 1.0, "worse": 0.125}
    assert (
        {row.arm: row.p_holm for row in rows if row.difference}
        == holm(ps)
        == {"same": 1.0, "worse": 0.25}
    )


def test_margins_depend_on_the_kind_of_metric() -> None:
    found = {
        (row.metric, row.arm): (row.margin, row.non_inferiority)
        for row in paired_table(THREE, "teacher")
    }
    assert found[CLASS, "same"] == (0.02, "non-inferior")
    assert found[CLASS, "worse"] == (0.02, "inferior")
    assert found[ACTION, "same"] == (0.05, "non-inferior")
    assert found[SKILL, "same"] == (None, None)
    narrow = paired_table(THREE, "teacher", [CLASS], {"accuracy": 0.001})
    assert row_of(narrow, "same").non_inferiority == "inconclusive"
    assert [
        row.margin for row in paired_table(THREE, "teacher", [ACTION], {"accuracy": 0.001})
    ] == [None] * 3


def test_an_unknown_metric_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"no metric test/fun; there are: test/probe/class_from_z, "
    ):
        paired_table(THREE, "teacher", [CLASS, "test/fun"])


def test_failed_collapsed_nan_and_unmeasured_runs_are_counted_separately() -> None:
    rows = [
        *experiment("teacher", 0.8, 0.8, 0.8, 0.8, 0.8),
        *experiment("b", 0.6, math.nan, None),
        run({"experiment": "b"}, 3, 0.2, verdict="complete_collapse of z"),
        run({"experiment": "b"}, 4, 0.9, state="failed"),
    ]
    found = row_of(paired_table(comparison(*rows), "teacher"), "b")
    assert (found.completed, found.collapsed, found.others) == (4, 1, {"failed": 1})
    assert (found.mean.mean, found.mean.n, found.mean.left_out) == (pytest.approx(0.4), 2, 1)
    assert found.difference is not None
    assert (found.difference.n, found.difference.left_out, found.difference.unpaired) == (2, 1, 2)
    text = paired_text(paired_table(comparison(*rows), "teacher", [CLASS]))
    assert "1 of 4" in text
    assert "b, left out: 1 failed" in text.splitlines()
    last = (
        "b, class z on test, left out: seeds not finite: 1; pairs not finite: 1; seeds without a"
        " partner: 2"
    )
    assert text.splitlines()[-1] == last


def test_arms_of_a_single_seed_have_a_mean_and_no_difference() -> None:
    one = {"state": "completed", CLASS: 0.5, "verdict": None}
    # no seed column, since all runs have the same seed
    rows = [{"experiment": name, "run": name, **one} for name in "ab"]
    found = row_of(paired_table(comparison(*rows), "a"), "b")
    assert (found.mean.mean, found.mean.half_width, found.difference, found.non_inferiority) == (
        0.5,
        None,
        None,
        None,
    )
    last = paired_text(paired_table(comparison(*rows), "a")).splitlines()[-1]
    assert last.split() == ["b", "1", "50.0", "<2", "0", "of", "1"]


# text and JSON


def test_accuracies_are_percent_points_and_scores_have_three_decimals() -> None:
    lines = paired_text(paired_table(THREE, "teacher")).splitlines()
    heads = [line for line in lines if " on test" in line]
    assert heads == [
        "class z on test, percent points, margin 2.0",
        "rel. action R² on test, margin 0.050",
        "skill on test",
    ]
    worse = [line for line in lines if line.startswith("worse")]
    assert worse[0].split()[:8] == ["worse", "4", "60.5", "±", "2.8", "4", "-20.0", "[-22.3,"]
    assert worse[1].split()[:8] == ["worse", "4", "0.605", "±", "0.028", "4", "-0.200", "[-0.223,"]
    assert "inferior" in worse[0]
    assert "inferior" not in worse[2]


def test_the_text_has_the_smallest_possible_p() -> None:
    text = paired_text(paired_table(THREE, "teacher"))
    assert text.splitlines()[-2:] == [
        "with 4 pairs p is never below 0.125",
        "after Holm the smallest p is never below 0.25",
    ]


def test_the_text_is_aligned_without_trailing_spaces() -> None:
    lines = paired_text(paired_table(THREE, "teacher")).splitlines()
    table = [line for line in lines if line.startswith(("arm  ", "teacher", "same", "worse"))]
    assert len(table) == 3 * 4
    assert len({len(line) for line in table}) == 1
    assert all(line == line.rstrip() for line in lines)
    assert paired_text([]) == "no arms"


def test_long_names_of_arms_are_numbered_and_listed_above() -> None:
    def long(name: str, value: float) -> list[Row]:
        many = {f"loss.a_rather_long_name_{i}": (name, i) for i in range(9)}
        options = [
            {**many, f"loss.a_rather_long_name_{i}": other}
            for i in range(9)
            for other in ("x" * 20, "y")
        ]
        return [
            run(settings, seed, -100 * value * (seed + 1))
            for settings in options
            for seed in (0, 1)
        ]

    table = comparison(*long("control", 0.5))
    control = {key: value for key, value in table.rows[0].items() if key.startswith("loss.")}
    lines = paired_text(paired_table(table, control)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert any(line.startswith("arm 0: loss.a_rather_long_name_0=" + "x" * 20) for line in lines)
    assert [line.split()[:2] for line in lines if line.startswith("arm 17 ")] == [["arm", "17"]] * 3


def test_the_dictionary_is_json_with_fractions_and_all_settings() -> None:
    content = json.loads(json.dumps(paired_dict(paired_table(THREE, "teacher")), allow_nan=False))
    assert content["control"] == "teacher"
    worse = content["rows"][2]
    assert (worse["arm"], worse["settings"], worse["metric"]) == (
        "worse",
        {"experiment": "worse"},
        CLASS,
    )
    assert worse["difference"]["mean"] == pytest.approx(-0.2)
    assert worse["difference"]["p_floor"] == 0.125
    assert content["rows"][0]["difference"] is None
