import io
import json
import math
import re
from pathlib import Path

import pytest

from jepa_lab.ledger.parquet import last_values
from jepa_lab.ledger.summary import summarise, summary_values, write_summary
from jepa_lab.report.table import TableRow, plain_table, show_rows, table_rows

HISTORY = {
    "train/loss/total": [(0, 9.0), (10, 1.25)],
    "val/loss/total": [(10, 1.5)],
    "val/probe/class_from_z_agg": [(5, 0.2), (10, 0.84321)],
    "test/probe/class_from_z_agg": [(10, 0.8)],
    "val/probe/relative_action_from_z": [(10, 0.45678)],
    "val/skill": [(10, 0.71)],
    "val/z/effective_rank": [(10, 30.149)],
    "val/z/d": [(10, 64.0)],
    "reference/z/effective_rank": [(0, 12.04)],
    "val/z/feature_std_l2": [(10, 0.98765)],
    "val/codebook/rankme": [(10, 3.0)],
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def rows_by_name(**options) -> dict[str, TableRow]:  # type: ignore[no-untyped-def]
    return {row.metric: row for row in table_rows(last_values(HISTORY), **options)}


def test_the_table_shows_last_values_in_their_units() -> None:
    rows = rows_by_name()
    assert rows["total"] == TableRow("Loss", "total", training="1.250", validation="1.500")
    assert rows["class from z_agg"] == TableRow(
        "Probes", "class from z_agg", validation="84.3 %", test="80.0 %"
    )
    assert rows["relative action from z, R²"].validation == "0.457"
    assert rows["z  effective rank"].validation == "30.1 of 64"
    assert rows["z  effective rank"].reference == "12.0 at start"
    assert rows["z  scale (feature std, L2)"].validation == "0.988"
    assert rows["codebook  RankMe"].validation == "3.0"


def test_metrics_that_were_not_measured_have_no_row() -> None:
    assert set(rows_by_name()) == {
        "total",
        "class from z_agg",
        "relative action from z, R²",
        "skill",
        "z  effective rank",
        "z  scale (feature std, L2)",
        "codebook  RankMe",
    }


def test_sections_are_chosen_and_ordered_by_the_caller() -> None:
    rows = table_rows(last_values(HISTORY), ("Prediction", "Loss"))
    assert [row.section for row in rows] == ["Prediction", "Loss"]
    with pytest.raises(ValueError, match="Losses"):
        table_rows(last_values(HISTORY), ("Losses",))


def test_expected_results_are_in_the_reference_column() -> None:
    rows = rows_by_name(
        expected={"val/probe/class_from_z_agg": "expected 85 ± 2 %", "val/z/effective_rank": "> 20"}
    )
    assert rows["class from z_agg"].reference == "expected 85 ± 2 %"
    assert rows["z  effective rank"].reference == "12.0 at start; > 20"


def test_a_tap_that_only_the_test_split_measured_is_shown() -> None:
    rows = table_rows({"test/z/effective_rank": 3.0})
    assert rows == [TableRow("Representation", "z  effective rank", test="3.0")]


def test_the_accuracies_before_training_are_one_row_of_the_probes() -> None:
    last = {
        "val/probe/class_from_z": 0.8,
        "reference/probe/class_from_pixels": 0.9,
        "reference/probe/class_from_untrained_z": 0.75,
        "reference/probe/class_from_constant": 0.125,
    }
    label = "class, raw pixels / untrained / constant"
    assert table_rows(last) == [
        TableRow("Probes", label, reference="90.0 / 75.0 / 12.5 %"),
        TableRow("Probes", "class from z", validation="80.0 %"),
    ]


def test_the_retrieval_without_a_network_is_shown_beside_the_prediction() -> None:
    rows = table_rows(
        {
            "val/retrieval/top1": 0.5,
            "reference/retrieval/top1": 0.25,
            "reference/retrieval/plain/combined/top1": 0.7,
            "test/retrieval/plain/combined/top1": 0.8,
        }
    )
    assert rows == [
        TableRow("Retrieval", "prediction, top 1", "", "50.0 %", "", "25.0 % at start"),
        TableRow("Retrieval", "no network, combined, top 1", "", "70.0 %", "80.0 %"),
    ]


def test_every_kind_of_rule_has_a_row_with_prediction_copy_and_baseline() -> None:
    start = "test/retrieval/rule/same_size/"
    last = {"top1": 0.5, "copy_top1": 0.25, "plain_top1": 0.75, "n": 32.0}
    (row,) = table_rows({start + name: value for name, value in last.items()})
    label = "same size (32), top 1: prediction / copy / no network"
    assert row == TableRow("Retrieval", label, test="50.0 / 25.0 / 75.0 %")


def test_history_summary_and_summary_json_give_the_same_table(tmp_path: Path) -> None:
    path = write_summary(tmp_path, HISTORY, {}, {}, {}, 1.0)
    expected = table_rows(last_values(HISTORY))
    assert table_rows(summary_values({"metrics": summarise(HISTORY)})) == expected
    assert table_rows(summary_values(json.loads(path.read_text()))) == expected


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "NaN"), (math.inf, "inf"), (-math.inf, "-inf")]
)
def test_a_value_that_is_not_finite_is_printed(value: float, text: str) -> None:
    assert table_rows({"val/z/effective_rank": value, "val/z/d": math.nan})[0].validation == text
    summary = {"metrics": {"val/skill": {"last": None}}}
    assert table_rows(summary_values(summary))[0].validation == "NaN"


def test_plain_text_is_aligned_and_has_no_trailing_space_or_empty_column() -> None:
    lines = plain_table(table_rows(last_values(HISTORY))).splitlines()
    assert lines[0].split() == ["training", "validation", "test", "reference"]
    assert [line for line in lines if not line.startswith(" ")] == [
        "Loss",
        "Probes",
        "Prediction",
        "Representation",
    ]
    assert all(line == line.rstrip() for line in lines)
    end = lines[0].index("validation") + len("validation")
    total = next(line for line in lines if line.startswith("  total"))
    assert total[:end].endswith(" 1.500")
    assert total.rstrip() == total[:end]
    assert "test" not in plain_table(table_rows({"val/skill": 0.5}))


def test_without_metrics_the_table_is_empty() -> None:
    assert plain_table(table_rows({})) == plain_table([]) == ""
    out = io.StringIO()
    show_rows([], out)
    assert out.getvalue() == ""


def test_a_file_gets_plain_text_and_a_terminal_gets_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    rows = table_rows(last_values(HISTORY))
    plain, terminal = io.StringIO(), Terminal()
    show_rows(rows, plain)
    show_rows(rows, terminal)
    assert plain.getvalue() == plain_table(rows) + "\n"
    assert "\x1b[" in terminal.getvalue()


def test_the_terminal_table_has_the_same_cells_as_the_plain_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    rows = table_rows(last_values(HISTORY), expected={"val/skill": "[0.6, 0.8]"})
    terminal = Terminal()
    show_rows(rows, terminal)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    assert plain.split() == plain_table(rows).split()
