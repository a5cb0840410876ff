"""The document on the use of actions: its tables from histories with known values."""

import pytest

from action_use import RELATIVE, USE, Cell, History, effects_table, last, onset, onsets, tables
from conftest import ROOT
from documents import filled

STEPS = (340, 680, 1020)


def run(*use: float | None, relative: float = 0.8) -> History:
    """Returns a run with these uses of the actions; None is a validation that found no trace."""
    points = [(s, u) for s, u in zip(STEPS, use, strict=True) if u is not None]
    return {"val/skill": [(s, 0.5) for s in STEPS], USE: points, RELATIVE: [(STEPS[-1], relative)]}


@pytest.mark.parametrize(
    ("use", "step"),
    [
        ((0.0, 0.2, 0.5), 680),
        ((0.2, 0.2, 0.5), 340),
        ((0.2, 0.0, 0.5), 1020),
        ((0.2, 0.2, 0.0), None),
    ],
)
def test_the_onset_is_the_first_step_after_which_actions_stay_in_use(
    use: tuple[float, ...], step: int | None
) -> None:
    assert onset(run(*use)) == step


def test_onsets_name_the_range_and_the_seeds_without_one() -> None:
    assert onsets([680, 340, None]) == "340 to 680, never in 1"
    assert onsets([340]) == "340"
    assert onsets([None, None]) == "never in 2"


def test_a_use_from_before_the_last_validation_is_not_the_last_one() -> None:
    assert last(run(0.1, 0.9, 0.7), USE) == 0.7
    assert last(run(0.1, 0.9, None), USE) is None


def test_effects_compare_cells_that_differ_in_one_setting_paired_by_seed() -> None:
    def cell(rate: float, memory: int) -> Cell:
        return Cell(narrow=True, dropout=0.0, steps=1020, rate=rate, memory=memory)

    runs = {
        cell(0.0, 0): {0: run(0.0, 0.0, 0.2), 1: run(0.0, 0.0, 0.4)},
        cell(0.003, 0): {0: run(0.0, 0.0, 0.5), 1: run(0.0, 0.0, 0.7)},
        cell(0.0, 200): {0: run(0.0, 0.0, 0.1, relative=0.9)},
    }
    teacher, rate = effects_table(runs).splitlines()[2:]
    name = "teacher with a memory of 200 steps less stop-gradient"
    assert teacher == f"| {name} | 1 | 1 | -0.10 | +0.10 |"
    assert rate.startswith("| rate with λ 0.003 less none | 1 | 2 | +0.30 [+0.30, +0.30] | +0.00 [")


def test_every_table_has_a_mark_in_the_document() -> None:
    document = (ROOT / "docs/results/action_use.md").read_text(encoding="utf-8")
    filled(document, tables({}))  # SystemExit without a mark
