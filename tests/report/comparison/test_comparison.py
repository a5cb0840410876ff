import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from jepa_lab.report.comparison.table import Comparison, compare

Make = Callable[..., Path]
TEST = {
    "test/probe/class_from_z_agg": 0.8432,
    "test/probe/action_from_z": 0.4567,
    "test/skill": 0.7,
}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Returns a function that makes a run folder.

    `settings` have dotted keys. `metrics` maps a key to its last value (None: NaN);
    metrics=None makes a run without summary."""

    def make_run(
        run_id: str,
        settings: dict[str, Any] | None = None,
        metrics: dict[str, float | None] | None = TEST,  # type: ignore[assignment]
        verdict: dict[str, Any] | None = None,
        **status: Any,
    ) -> Path:
        folder = tmp_path / "runs" / run_id
        folder.mkdir(parents=True)
        config: dict[str, Any] = {"name": "b"}
        for key, value in (settings or {}).items():
            *groups, leaf = key.split(".")
            node = config
            for group in groups:
                node = node.setdefault(group, {})
            node[leaf] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        (folder / "status.json").write_text(
            json.dumps({"state": "completed", "run_id": run_id, **status})
        )
        if metrics is not None:
            summary = {
                "metrics": {key: {"last": value} for key, value in metrics.items()},
                "verdict": verdict or {"status": "healthy", "tap": None, "since_step": None},
            }
            (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return make_run


def settings_of(comparison: Comparison) -> list[str]:
    return comparison.columns[: comparison.columns.index("run")]


def accuracy(value: float) -> dict[str, float]:
    return {"test/probe/class_from_z_agg": value}


def test_columns_are_differing_settings_run_state_metrics_and_verdict(make: Make) -> None:
    runs = [
        make("r1", {"seed": 0, "loss.lambda_rate": 0.001, "loss.alpha": 1.0}),
        make("r2", {"seed": 1, "loss.lambda_rate": 1e-05, "loss.alpha": 1.0}),
    ]
    assert compare(runs).columns == ["loss.lambda_rate", "seed", "run", "state", *TEST, "verdict"]


def test_one_run_has_no_columns_of_settings(make: Make) -> None:
    comparison = compare([make("r1", {"seed": 3, "loss.lambda_rate": 0.001})])
    assert comparison.columns == ["run", "state", *TEST, "verdict"]
    assert comparison.rows[0]["run"] == "r1"


def test_rows_are_ordered_by_value_and_numbers_numerically(make: Make) -> None:
    values: list[Any] = [100, 0.001, "auto", 9, None, 1e-05]
    runs = [make(f"r{i}", {"loss.alpha": value}) for i, value in enumerate(values)]
    assert [row["loss.alpha"] for row in compare(runs).rows] == [None, 1e-05, 0.001, 9, 100, "auto"]
    equal = [make(name, {"loss.alpha": 9}) for name in ("z", "a")]
    assert [row["run"] for row in compare(equal).rows] == ["a", "z"]


def test_a_run_without_a_process_is_killed_and_one_with_a_process_is_running(make: Make) -> None:
    import os
    import platform

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    runs = [
        make(name, {"seed": i}, None, state="running", pid=pid, host=platform.node())
        for i, (name, pid) in enumerate([("gone", ended.pid), ("alive", os.getpid())])
    ]
    assert [row["state"] for row in compare(runs).rows] == ["killed", "running"]


def test_a_repeated_folder_is_one_run(make: Make) -> None:
    run = make("r1")
    assert len(compare([run, run / ".." / "r1", str(run)]).rows) == 1


def test_validation_metrics_are_shown_if_no_run_has_test_metrics(make: Make) -> None:
    val = make("r1", {"seed": 0}, {"val/skill": 0.5, "val/probe/class_from_z": 0.25})
    comparison = compare([val])
    assert comparison.columns == ["run", "state", "val/probe/class_from_z", "val/skill", "verdict"]
    assert comparison.text().splitlines()[0].split() == ["val", "val"]
    tested = compare([val, make("r2", {"seed": 1})])
    assert tested.columns[3:-1] == list(TEST)
    assert tested.rows[0]["test/skill"] is None


def test_a_run_without_summary_has_empty_cells_a_state_and_a_reason(make: Make) -> None:
    bad = {"term": "rate", "step": 12}
    failed = make("r2", {"seed": 1}, None, state="failed", reason="out of\n memory", first_bad=bad)
    comparison = compare([make("r1", {"seed": 0}), failed])
    row = comparison.rows[1]
    assert (row["state"], row["reason"], row["first_bad"]) == ("failed", "out of\n memory", bad)
    assert [row[key] for key in (*TEST, "verdict")] == [None] * 4
    lines = comparison.text().splitlines()
    assert lines[3].split() == ["1", "r2", "failed"]
    assert "r2 failed: out of memory; first not finite: rate at step 12" in lines


def test_a_reason_that_names_the_first_bad_term_is_printed_once(make: Make) -> None:
    bad = {"term": "rate", "step": 12}
    failed = make(
        "r1", None, None, state="failed", reason="rate is not finite at step 12", first_bad=bad
    )
    assert compare([failed]).text().splitlines()[-1] == "r1 failed: rate is not finite at step 12"


def test_a_run_without_status_has_the_state_unknown(make: Make) -> None:
    run = make("r1")
    (run / "status.json").unlink()
    assert [(row["run"], row["state"]) for row in compare([run]).rows] == [("r1", "unknown")]


@pytest.mark.parametrize("how", ["null", "loss", "first_bad"])
def test_a_run_that_ended_in_nan_has_nan_and_no_empty_cell(make: Make, how: str) -> None:
    metrics = {
        "null": {"test/skill": None},
        "loss": {"train/loss/total": None},
        "first_bad": {"val/skill": 0.1},
    }[how]
    status = {
        "state": "failed",
        "first_bad": {"term": "rate", "step": 1} if how == "first_bad" else None,
    }
    comparison = compare([make("r1", {"seed": 0}), make("r2", {"seed": 1}, metrics, **status)])
    assert math.isnan(comparison.rows[1]["test/skill"])
    assert comparison.text().splitlines()[3].split()[-2] == "NaN"


def test_a_verdict_includes_its_tap_and_its_step(make: Make) -> None:
    verdict = {"status": "dimensional_collapse", "tap": "z", "since_step": 170}
    comparison = compare([make("r1", verdict=verdict)])
    assert comparison.rows[0]["verdict"] == "dimensional_collapse of z since step 170"


def test_folders_that_are_no_run_are_listed_and_the_others_compared(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    damaged = []
    for name, content in {
        "summary.json": '{"metrics": {',
        "status.json": "[]",
        "config.yaml": "a: ][",
    }.items():
        damaged.append(make(f"damaged-{name}"))
        (damaged[-1] / name).write_text(content)
    odd = make("odd")
    (odd / "summary.json").write_text('{"metrics": {"test/skill": 3}, "verdict": "fine"}')
    (odd / "status.json").write_bytes(b"{}")
    binary = make("binary")
    (binary / "status.json").write_bytes(b"\xff\xfe\x00")
    skipped = [tmp_path / "gone", tmp_path / "empty", *damaged, odd, binary]
    comparison = compare([*skipped, make("good")])
    assert [row["run"] for row in comparison.rows] == ["good"]
    lines = comparison.text().splitlines()[-len(skipped) :]
    assert [line.split(" (")[0] for line in lines] == [f"not a run: {path}" for path in skipped]
    assert lines[0].endswith("(no such folder)")
    assert lines[2].endswith("(summary.json is damaged)")


def test_a_comparison_without_runs_prints_a_line(tmp_path: Path) -> None:
    assert compare([]).text() == "no runs"
    assert compare([tmp_path / "gone"]).text().splitlines()[-1].startswith("not a run: ")


# seeds


def test_seeds_of_equal_settings_have_a_mean_and_a_sample_deviation(make: Make) -> None:
    runs = [
        make(f"{rate}-{seed}", {"loss.lambda_rate": rate, "seed": seed}, accuracy(value))
        for rate, values in {0.01: (0.5, 0.7, 0.6), 0.001: (0.25, 0.35)}.items()
        for seed, value in enumerate(values)
    ]
    comparison = compare(
        [*runs, make("alone", {"loss.lambda_rate": 1.0, "seed": 0}, accuracy(0.9))]
    )
    low, high = comparison.seeds
    assert (low.settings, low.metric, low.n) == (
        {"loss.lambda_rate": 0.001},
        "test/probe/class_from_z_agg",
        2,
    )
    assert low.mean == pytest.approx(0.3)
    assert low.sd == pytest.approx(0.1 / math.sqrt(2))
    assert (high.mean, high.sd) == (pytest.approx(0.6), pytest.approx(0.1))
    lines = comparison.text().splitlines()
    assert "class z_agg on test, mean ± standard deviation over seeds:" in lines
    assert "  loss.lambda_rate=0.001   30.0 ± 7.1 %  n 2" in lines
    assert "  loss.lambda_rate=0.01   60.0 ± 10.0 %  n 3" in lines


def test_groups_of_one_seed_have_no_mean(make: Make) -> None:
    runs = [make(f"r{x}", {"loss.lambda_rate": x, "seed": x}) for x in (1, 2)]
    assert compare(runs).seeds == []


def test_only_completed_runs_are_averaged_and_collapsed_ones_are_counted(make: Make) -> None:
    statuses = ["healthy", "low_rank", "complete_collapse", "inconclusive"]
    runs = [
        make(f"r{seed}", {"seed": seed}, accuracy(0.5), {"status": status})
        for seed, status in enumerate(statuses)
    ]
    failed = make("r4", {"seed": 4}, accuracy(0.9), {"status": "diverged"}, state="failed")
    comparison = compare([*runs, failed])
    (group,) = comparison.seeds
    assert (group.mean, group.sd, group.n, group.collapsed, group.others) == (
        0.5,
        0.0,
        4,
        1,
        {"failed": 1},
    )
    assert "50.0 ± 0.0 %  n 4, 1 of 4 collapsed, 1 failed" in comparison.text()


def test_a_nan_among_the_seeds_is_not_averaged_away(make: Make) -> None:
    runs = [
        make(f"r{i}", {"seed": i}, {"test/skill": value}) for i, value in enumerate((0.5, None))
    ]
    assert "NaN ± NaN  n 2" in compare(runs).text()


# text and files


def test_accuracies_are_in_percent_and_scores_have_three_decimals(make: Make) -> None:
    runs = [
        make(f"r{x}", {"loss.lambda_rate": x, "loss.rate_center": x < 1e-4}) for x in (1e-05, 0.001)
    ]
    first, second = (line.split() for line in compare(runs).text().splitlines()[2:4])
    assert first == [
        "1e-05",
        "true",
        "r1e-05",
        "completed",
        "84.3",
        "%",
        "0.457",
        "0.700",
        "healthy",
    ]
    assert second[:2] == ["0.001", "false"]


def test_plain_text_is_aligned_and_has_no_trailing_space(make: Make) -> None:
    runs = [make(f"r{x}", {"loss.lambda_rate": x}) for x in (1e-05, 0.25)]
    lines = compare(runs).text().splitlines()
    end = lines[1].index("class z_agg") + len("class z_agg")
    assert all(line[:end].endswith("%") for line in lines[2:4])
    assert lines[0][:end].endswith("test")
    assert all(line == line.rstrip() for line in lines)


def test_a_wide_table_prints_settings_that_follow_from_an_option_below(make: Make) -> None:
    def run(recipe: str, rate: float, decided: int) -> Path:
        many = {f"loss.a_rather_long_name_{i}": decided for i in range(4)}
        return make(f"{recipe}{rate}", {"recipe.name": recipe, "loss.lambda_rate": rate, **many})

    comparison = compare([run("ours", 0.1, 1), run("ours", 0.2, 1), run("theirs", 0.1, 2)])
    assert len(settings_of(comparison)) == 6
    lines = comparison.text().splitlines()
    assert lines[1].split()[:3] == ["recipe", "loss.lambda_rate", "run"]
    assert lines[6] == "recipe=ours: " + " ".join(
        f"loss.a_rather_long_name_{i}=1" for i in range(4)
    )
    assert lines[7] == "recipe=theirs: " + " ".join(
        f"loss.a_rather_long_name_{i}=2" for i in range(4)
    )


def test_two_settings_and_five_metrics_fit_into_140_columns(make: Make) -> None:
    verdict = {"status": "complete_collapse", "tap": "z_agg", "since_step": 1700}
    metrics = {
        f"test/probe/{key}": -0.1 for key in ("class_from_z_agg", "class_from_z", "action_from_z")
    }
    metrics |= {"test/probe/relative_action_from_z": -0.1, "test/skill": -12.5}
    runs = [
        make(
            f"0123abcd{i}",
            {"loss.lambda_rate": 1e-05, "loss.alpha": i, "seed": i},
            metrics,
            verdict,
        )
        for i in range(2)
    ]
    assert max(map(len, compare(runs).text().splitlines())) <= 140


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [40, 100, 200])
def test_a_terminal_has_colours_and_no_cut_values(
    make: Make, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.delenv("NO_COLOR", raising=False)
    runs = [
        make(f"0123456789{seed}", {"seed": seed, "encoder.widths": [32, seed]}) for seed in (0, 1)
    ]
    comparison, plain, terminal = compare(runs), io.StringIO(), Terminal()
    comparison.print(plain)
    comparison.print(terminal)
    assert plain.getvalue() == comparison.text() + "\n"
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b[" not in plain.getvalue()
    for value in ("01234567891", "completed", "84.3 %", "0.457", "[32,1]", "healthy"):
        assert value in terminal.getvalue()


def test_the_files_have_raw_values_under_full_keys(make: Make, tmp_path: Path) -> None:
    runs = [
        make("r1", {"seed": 0, "encoder.widths": [32, 64]}),
        make(
            "r2",
            {"seed": 1, "encoder.widths": [64]},
            {"test/skill": None},
            state="failed",
            reason="why",
        ),
    ]
    comparison = compare([*runs, tmp_path / "gone"])
    as_json, as_csv = comparison.write(tmp_path / "new" / "folder")
    content = json.loads(as_json.read_text(), parse_constant=pytest.fail)
    assert content["columns"] == comparison.columns
    assert content["rows"][0]["test/probe/action_from_z"] == 0.4567
    assert content["rows"][1]["test/skill"] is None
    assert "test/probe/action_from_z" not in content["rows"][1]
    assert content["skipped"] == [{"path": str(tmp_path / "gone"), "why": "no such folder"}]
    rows = list(csv.DictReader(io.StringIO(as_csv.read_text())))
    assert list(rows[0])[: len(comparison.columns)] == comparison.columns
    assert rows[0]["test/probe/action_from_z"] == "0.4567"
    assert (rows[1]["test/skill"], rows[1]["test/probe/action_from_z"]) == ("nan", "")
    assert (rows[1]["encoder.widths"], rows[1]["reason"], rows[1]["run_dir"]) == (
        "[64]",
        "why",
        str(runs[1]),
    )
    assert sorted(path.name for path in as_csv.parent.iterdir()) == [
        "comparison.csv",
        "comparison.json",
    ]


def test_importing_the_report_imports_nothing_heavy() -> None:
    heavy = {"torch", "lightning", "pytorch_lightning", "matplotlib", "numpy", "pyarrow"}
    code = f"import sys, jepa_lab.report; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
