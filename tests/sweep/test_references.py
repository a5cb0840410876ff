"""Reference runs of a comparison: their jobs, and their separate place in the report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from test_aux_comparison import SMALL

from comparison_runs import make_run
from jepa_lab import check as check_command
from jepa_lab.config.sweep import is_reference
from jepa_lab.report.comparison.report import ReportRequest, write_report
from jepa_lab.sweep.references import reference_jobs, reference_overrides
from jepa_lab.training.provenance import count_parameters

Command = Callable[..., tuple[int, str, str]]
RUN_ID = re.compile(r"\b[0-9a-f]{10}\b")


def test_the_overrides_of_a_reference_are_those_of_its_experiment() -> None:
    assert reference_overrides("random_init") == [
        "aux=none",
        "target=stopgrad",
        "name=random_init",
        "++loss.lambda_rate=0.0",
        "++optim.lr=0.0",
    ]
    assert reference_overrides("supervised") == [
        "aux=none",
        "target=stopgrad",
        "name=supervised",
        "++loss.lambda_rate=0.0",
        "++loss.prediction=0.0",
        "++loss.supervised=1.0",
    ]


def test_a_reference_has_the_shared_overrides_except_for_its_own_keys() -> None:
    common = [
        "+experiment=aux_comparison",
        "dataset=digits_affine",
        "target=ema",
        "target.memory=0.1",
        "optim.lr=3e-3",
        "optim.clip=2",
    ]
    untrained, supervised = reference_jobs(["random_init", "supervised"], common, 4)
    kept = ["+experiment=aux_comparison", "dataset=digits_affine"]
    assert untrained == [*kept, "optim.clip=2", *reference_overrides("random_init"), "seed=4"]
    assert supervised == [
        *kept,
        "optim.lr=3e-3",
        "optim.clip=2",
        *reference_overrides("supervised"),
        "seed=4",
    ]
    assert is_reference(untrained)
    assert not is_reference([*common, "aux=none", "seed=4"])


def test_check_lists_references_for_every_seed_as_runs_of_their_experiments(
    command: Command,
) -> None:
    line = [
        "-m",
        "+experiment=aux_comparison",
        *SMALL,
        "aux=none,vicreg",
        "sweep.tuning.weights=1",
        "sweep.tuning.seeds=[7]",
        "seed=3,5",
    ]
    code, out, err = command(
        *line, "sweep.references=[random_init,supervised]", main=check_command.main
    )
    assert code == 0, err
    assert "1 job: 1 to do" in out
    assert "8 jobs: 8 to do" in out
    first, *listed = RUN_ID.findall(out)
    assert len({first, *listed}) == 9
    _, alone, _ = command("+experiment=random_init", *SMALL, "seed=5", main=check_command.main)
    (own,) = set(RUN_ID.findall(alone))
    assert own == listed[6]  # for every seed the arms, then the references
    _, without, _ = command(*line, main=check_command.main)
    assert RUN_ID.findall(without) == [
        first,
        *listed[:2],
        *listed[4:6],
    ]  # the runs of the arms do not change


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "sweep.references=[raw_pixels]",
            "sweep.references=raw_pixels: expected one of random_init, supervised",
        ),
        ("sweep.report=null", "sweep.references=random_init: only a comparison has them"),
    ],
)
def test_an_invalid_reference_gives_one_line(override: str, message: str, command: Command) -> None:
    line = ["-m", "+experiment=aux_comparison", *SMALL, "aux=none", "seed=0"]
    if not override.startswith("sweep.references="):
        line.append("sweep.references=[random_init]")
    code, _, err = command(*line, override, main=check_command.main)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def runs(root: Path) -> Path:
    for seed in range(6):
        for arm, value in (("none", 0.80), ("vicreg", 0.84)):
            make_run(root, arm, seed, value + 0.01 * seed)
        make_run(root, "random_init", seed, 0.40 + 0.011 * seed)
        make_run(root, "supervised", seed, 0.99)
    return root


def test_the_report_separates_references_and_no_p_value_counts_them(tmp_path: Path) -> None:
    folder = runs(tmp_path / "runs")
    written = write_report(folder, tmp_path / "out", ReportRequest(control="none"))
    (ranking,) = written.rankings
    assert [one.name for one in ranking.arms] == ["vicreg", "none"]
    assert [one.name for one in ranking.references] == ["random encoder", "supervised"]
    assert ranking.references[0].difference == pytest.approx(-0.4 + 0.001 * 2.5)
    rows = json.loads((tmp_path / "out" / "experiment_comparison_results.json").read_text())
    assert [row["arm"] for row in rows if row.get("reference")] == ["random encoder", "supervised"]
    vicreg = next(row for row in rows if row["arm"] == "vicreg")
    assert vicreg["p_holm"] == vicreg["p"]  # one comparison in the family
    assert "References: bounds, neither ranked nor tested" in written.text
    assert "supervised: 99.0 ± 0.0 %, 6 seeds; 16.5 [" in written.text
    assert "random encoder has the" not in written.text
    assert "References: bounds" in (tmp_path / "out" / "report.html").read_text()


def test_a_reference_of_another_budget_is_left_out_and_a_control_is_an_arm(tmp_path: Path) -> None:
    folder = runs(tmp_path / "runs")
    make_run(folder, "random_init", 9, 0.2, settings={"dataset.epochs": 400})
    (ranking,) = write_report(folder, tmp_path / "out", ReportRequest(control="none")).rankings
    assert ranking.references[0].mean.n == 6
    assert "random encoder: 1 run of other data, budget or network left out" in ranking.notes
    (other,) = write_report(folder, tmp_path / "more", ReportRequest(control="supervised")).rankings
    assert other.control == "supervised"
    assert [one.name for one in other.references] == ["random encoder"]


def test_a_folder_with_only_references_is_ranked(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(tmp_path / "runs", "random_init", seed, 0.4 + 0.01 * seed)
        make_run(tmp_path / "runs", "supervised", seed, 0.9)
    (ranking,) = write_report(tmp_path / "runs", tmp_path / "out").rankings
    assert {one.name for one in ranking.arms} == {"random_init", "supervised"}
    assert not ranking.references


def test_the_report_mentions_whether_the_networks_have_the_same_size(tmp_path: Path) -> None:
    folder = runs(tmp_path / "runs")

    def sized(path: Path, **parts: int) -> None:
        summary = json.loads((path / "summary.json").read_text())
        summary["parameters"] = {"trainable": 1, "frozen": 0, **parts}
        (path / "summary.json").write_text(json.dumps(summary))

    for path in folder.glob("*/*"):
        sized(
            path,
            **(
                {"encoder": 1234, "aux.vicreg": 77}
                if path.parent.name == "vicreg"
                else {"encoder": 1234}
            ),
        )
    text = write_report(folder, tmp_path / "out").text
    assert "Parameters of every arm and reference: encoder 1,234." in text
    assert "Heads of auxiliary losses: vicreg 77." in text
    sized(folder / "supervised" / "supervised-0", encoder=999)
    assert (
        "Parameters differ between runs: encoder 999 or 1,234."
        in write_report(folder, tmp_path / "out").text
    )


def test_every_part_of_a_model_is_counted_once(make_config: Callable[..., object]) -> None:
    from jepa_lab.studies.seq_jepa.evaluation.loading import build_frozen
    from study_parts import load_data

    config = make_config(
        "target=ema", "loss.lambda_rate=0", "aux=vicreg", experiment="seq_jepa_baseline"
    )
    module = build_frozen(config, load_data(config))  # type: ignore[arg-type]
    counts = count_parameters(module)
    parts = {key: value for key, value in counts.items() if key not in ("trainable", "frozen")}
    assert (
        parts["encoder"]
        == parts["target_encoder"]
        == sum(p.numel() for p in module.network.encoder.parameters())
    )
    assert sum(parts.values()) == counts["trainable"] + counts["frozen"]
    assert set(parts) <= {
        "encoder",
        "aggregator",
        "predictor",
        "action_projection",
        "target_encoder",
        "aux.vicreg",
    }
