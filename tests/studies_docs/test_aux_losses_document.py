"""The document of the comparison of auxiliary losses: every table has its mark, and only the table
of weights has tuning runs."""

import sys
from pathlib import Path

from conftest import ROOT

sys.path.insert(0, str(ROOT / "studies_docs"))

import pytest

from aux_losses import tables
from aux_losses_runs import SECTIONS, Section, read
from comparison_runs import METRIC, STAGED, arm_of, both_stages, make_run
from documents import fill
from jepa_lab.ledger.sweep_folder import ArmTuning, Candidate, Tuning, WeightTrial, write_tuning

DIGITS, PLACE, BARE, CIFAR = SECTIONS[:4]


def test_every_table_of_every_section_has_a_mark_in_the_document(tmp_path: Path) -> None:
    make_run(tmp_path, "of_another_study", 0)
    document = (ROOT / "docs/results/aux_losses.md").read_text(encoding="utf-8")
    for section in SECTIONS:
        found = tables(read(tmp_path, section))
        assert found[f"{section.name}-runs"] == "No run of this comparison is there."
        for mark, text in found.items():
            document = fill(document, mark, text)  # SystemExit without the mark
    assert "<!-- claims -->" in document


def test_the_ranking_has_reported_seeds_and_the_tuning_table_tuning_seeds(tmp_path: Path) -> None:
    found = tables(read(both_stages(tmp_path / "runs"), DIGITS))
    assert found["digits-runs"].startswith(
        "4 reported runs, seeds 0 to 1; 1 runs chose the weights"
    )
    first, second = found["digits-ranking"].splitlines()[2:]
    assert first.startswith("| 1 | none |  | 2 | 0.800 ± 0.000 |")
    assert second.startswith(
        "| 1 | vicreg | 1 | 2 | 0.800 ± 0.000 | +0.000 [+0.000, +0.000] | 1.000 | 1.000 |"
    )
    assert found["digits-tuning"].splitlines()[2:] == ["| vicreg | **1: 0.990** | 1 |  |  |"]


def test_runs_of_other_data_are_in_their_own_section(tmp_path: Path) -> None:
    runs = both_stages(tmp_path / "runs")
    own = {"sweep.report": "aux_comparison", "sweep.tuning": {"seeds": [1000]}}
    own |= {"dataset.name": "npz", "dataset.source": "npz", "dataset.path": "cifar10_16.npz"}
    for aux, value in {"none": 0.3, "dino": 0.2}.items():
        make_run(
            runs / "cifar",
            aux,
            0,
            value,
            settings={**own, "aux": arm_of(aux), "name": "aux_comparison"},
        )
    cifar = tables(read(runs, CIFAR))["cifar-ranking"]
    assert [line.split(" | ")[1] for line in cifar.splitlines()[2:]] == ["none", "dino"]
    assert "dino" not in tables(read(runs, DIGITS))["digits-ranking"]


def test_losses_moved_to_the_aggregate_are_in_separate_sections(tmp_path: Path) -> None:
    runs = both_stages(tmp_path / "runs")
    digits = tables(read(runs, DIGITS))
    assert read(runs, PLACE).runs == read(runs, BARE).runs == []
    for width in (256, None):
        arm = {"vicreg": {"weight": 3.0, "site": "z_agg", "proj_output_dim": width}}
        for seed in (0, 1):
            value = 0.9 if width else 0.7
            own = {**STAGED, "aux": arm}
            make_run(
                runs / f"at{width}",
                "aux_comparison",
                seed,
                value,
                settings=own,
                run_id=f"{width}-{seed}",
            )
    for section, order in ((PLACE, ["vicreg", "none"]), (BARE, ["none", "vicreg"])):
        rows = tables(read(runs, section))[f"{section.name}-ranking"].splitlines()[2:]
        assert [row.split(" | ")[1] for row in rows] == order
    assert tables(read(runs, DIGITS)) == digits


def test_runs_of_another_setting_are_not_in_the_comparison(tmp_path: Path) -> None:
    runs = both_stages(tmp_path / "runs")
    for name in ("none", "vicreg"):
        own = {**STAGED, "aux": arm_of(name), "target.name": "stopgrad"}
        make_run(
            runs / "other" / name, "aux_comparison", 0, 0.1, settings=own, run_id=f"other-{name}"
        )
    assert tables(read(runs, DIGITS)) == tables(read(both_stages(tmp_path / "alone"), DIGITS))


def test_an_arm_tuned_in_a_separate_sweep_is_in_the_tuning_table(tmp_path: Path) -> None:
    runs = both_stages(tmp_path / "runs")
    arm = ArmTuning(
        "dino", "aux.dino.weight", 1.0, [Candidate(0.5, [WeightTrial(1000, "dino-0", "", 0.7)])]
    )
    make_run(
        runs / "dino",
        "aux_comparison",
        0,
        settings={**STAGED, "aux": arm_of("dino")},
        run_id="dino-0",
    )
    (runs / "sweeps" / "later").mkdir()
    write_tuning(runs / "sweeps" / "later", Tuning("later", METRIC, [1000], [arm]))
    rows = tables(read(runs, DIGITS))["digits-tuning"].splitlines()[2:]
    assert [row.split(" | ")[:2] for row in rows] == [
        ["| dino", "**0.5: 0.700**"],
        ["| vicreg", "**1: 0.990**"],
    ]


def test_a_random_encoder_is_listed_below_the_arms_and_not_ranked(tmp_path: Path) -> None:
    runs = both_stages(tmp_path / "runs")
    for seed in (0, 1, 5):
        make_run(runs, "random_init", seed, 0.3 + 0.1 * seed, settings={**STAGED, "aux": {}})
    found = tables(read(runs, DIGITS))
    assert (
        found["digits-beside"]
        .splitlines()[-1]
        .startswith("| random encoder (no arm), 2 seeds | 0.350 ± ")
    )
    assert "random" not in found["digits-ranking"]


def test_two_runs_of_one_arm_and_seed_raise(tmp_path: Path) -> None:
    runs = both_stages(tmp_path / "runs")
    own = {"sweep.report": "aux_comparison", "aux": arm_of("vicreg"), "optim.lr": 0.5}
    make_run(runs / "again", "aux_comparison", 0, settings=own, run_id="again")
    with pytest.raises(SystemExit, match=r"digits: arm vicreg: .* both have seed 0"):
        read(runs, Section("digits", "digits_rot", METRIC, ""))
