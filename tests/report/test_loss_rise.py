"""A prediction loss that rises is explained by the scale of its targets."""

import pytest

from jepa_lab.report.loss_rise import explained_rise


def history(loss: list[float], constant: list[float], skill: list[float]) -> dict:
    columns = {"val/loss/prediction": loss, "val/loss/constant": constant, "val/skill": skill}
    return {key: list(enumerate(values)) for key, values in columns.items() if values}


def test_targets_that_spread_out_explain_a_rise() -> None:
    text = explained_rise(history([0.25, 0.19, 0.21], [0.04, 0.2, 0.25], [-5.0, 0.05, 0.16]))
    assert text == (
        "The prediction loss rises from 0.19 at step 1 to 0.21. A loss is relative to the spread of"
        " its targets: that of the best constant rises from 0.2 to 0.25 meanwhile. The skill,"
        " 1 − loss / that of the baseline, is what counts, and it rises from 0.05 to 0.16."
    )


def test_a_rise_with_a_falling_skill_is_not_excused() -> None:
    text = explained_rise(history([0.1, 0.3], [0.5, 0.5], [0.8, 0.4]))
    assert text.endswith("The skill, 1 − loss / that of the baseline, falls from 0.80 to 0.40.")


@pytest.mark.parametrize(
    ("loss", "shown"),
    [([0.3, 0.2, 0.1], False), ([0.1, 0.105], False), ([0.1, 0.2], True), ([], False)],
)
def test_without_a_rise_nothing_is_said(loss: list[float], shown: bool) -> None:
    assert bool(explained_rise(history(loss, [], []))) == shown
