"""The state of the prediction, and the statuses that follow from it."""

from __future__ import annotations

import pytest

from jepa_lab.diagnosis import Thresholds, Verdict, judge
from jepa_lab.diagnosis.progress import IN_PART, LEARNED, LEARNING, NOT_YET, prediction_progress
from jepa_lab.diagnosis.settings import Settings

STEPS = range(10, 130, 10)
Points = list[tuple[int, float]]


def curve(first: float, last: float, bend: float = 1.0) -> Points:
    """Returns 12 values from `first` to `last`. Those of the last third are `last` if bend is 0."""
    n = len(STEPS)
    rising = [first + (last - first) * i / (n - 1) for i in range(n)]
    return list(zip(STEPS, rising if bend else [*rising[:-4], *[last] * 4], strict=True))


def run(
    skill: Points, use: Points | None, loss: float = 0.3, readout: float = 0.2
) -> dict[str, Points]:
    """Returns a run with healthy features and the given curves of its prediction."""
    history: dict[str, Points] = {
        "val/skill": skill,
        "val/loss/prediction": curve(1.0, loss),
        "val/action_gain": curve(0.0, 0.1),
        "val/readout/loss": curve(0.5, readout),
        **({} if use is None else {"val/action_use": use}),
    }
    for tap in ("z", "z_agg"):
        values = {"effective_rank": 20.0, "feature_std_l2": 0.5, "n": 200.0, "d": 64.0}
        for name, value in values.items():
            history[f"val/{tap}/{name}"] = curve(value, value)
            history[f"reference/{tap}/{name}"] = [(0, value)]
    return history


def state(history: dict[str, Points], **settings: bool) -> str:
    progress = prediction_progress(history, Thresholds(), Settings(**settings))
    return "" if progress is None else progress.state


@pytest.mark.parametrize(
    ("skill", "use", "expected", "status"),
    [
        (curve(0.0, 0.6), curve(0.0, 0.8), LEARNED, "healthy"),
        (curve(0.0, 0.6, bend=0), curve(0.0, 0.8, bend=0), LEARNED, "healthy"),
        (curve(0.0, 0.4), curve(0.0, 0.4), LEARNING, "healthy"),
        (curve(0.0, 0.4, bend=0), curve(0.0, 0.4), LEARNING, "healthy"),
        (curve(0.0, 0.4, bend=0), curve(0.0, 0.4, bend=0), IN_PART, "healthy"),
        (curve(0.0, 0.09), curve(0.0, 0.3), NOT_YET, "too_short"),
        (curve(-8.0, -2.0), curve(0.0, 0.0), NOT_YET, "too_short"),
        (curve(0.0, 0.7), curve(0.0, 0.04), NOT_YET, "too_short"),
        (curve(0.0, 0.7, bend=0), curve(0.0, 0.04), NOT_YET, "ignores_actions"),
        (curve(0.0, 0.7, bend=0), curve(0.0, 0.01, bend=0), NOT_YET, "ignores_actions"),
        (curve(0.05, 0.05), curve(0.3, 0.3), NOT_YET, "inconclusive"),
    ],
)
def test_the_state_and_status_follow_from_skill_and_use(
    skill: Points, use: Points, expected: str, status: str
) -> None:
    history = run(skill, use)
    assert state(history) == expected
    verdict = judge(history)
    assert verdict.status == status
    assert verdict.prediction.startswith(expected)
    assert f"| prediction: {expected} (skill" in verdict.line()


def test_a_prediction_as_good_as_the_readout_has_learned_with_any_skill() -> None:
    assert state(run(curve(0.0, 0.3), curve(0.0, 0.9), loss=0.2, readout=0.25)) == LEARNED
    assert state(run(curve(0.0, 0.3), curve(0.0, 0.9), loss=0.3, readout=0.25)) == LEARNING


def test_features_without_a_trace_of_the_actions_are_reported() -> None:
    verdict = judge(run(curve(0.0, 0.6), None))
    assert verdict.status == "healthy"
    assert "the features hold no trace of the actions" in verdict.prediction
    lost = curve(0.0, 0.6)[:-3]  # the last validations found no trace any more
    assert "no trace" in judge(run(curve(0.0, 0.6), lost)).prediction


def test_a_run_without_actions_is_judged_by_its_skill_alone() -> None:
    history = run(curve(0.0, 0.6), curve(0.0, 0.0))
    assert state(history, actions=False) == LEARNED
    verdict = judge(history, config={"model": {"action_conditioning": False}})
    assert verdict.status == "healthy"
    assert "actions" not in verdict.prediction


def test_without_a_configuration_ignored_actions_may_be_by_design() -> None:
    history = run(curve(0.0, 0.7, bend=0), curve(0.0, 0.01, bend=0))
    assert "by design where model.action_conditioning=false" in judge(history).line()
    assert "by design" not in judge(history, config={"model": {}}).line()


def test_reference_runs_have_no_state() -> None:
    history = run(curve(0.0, 0.6), curve(0.0, 0.8))
    assert state(history, trained=False) == ""
    assert state(history, predicts=False) == ""
    del history["val/skill"]
    verdict = judge(history)
    assert (verdict.status, verdict.prediction) == ("healthy", "")
    assert "prediction:" not in verdict.line()


@pytest.mark.parametrize(
    ("skill", "actions", "expected", "status"),
    [
        (curve(0.0, 0.6), False, LEARNED, "healthy"),
        (curve(0.0, 0.6), True, LEARNING, "healthy"),
        (curve(0.0, 0.6, bend=0), True, IN_PART, "healthy"),
        (curve(0.0, 0.4, bend=0), False, IN_PART, "healthy"),
        (curve(-8.0, -2.0), True, NOT_YET, "too_short"),
        (curve(0.05, 0.05), False, NOT_YET, "inconclusive"),
    ],
)
def test_without_a_readout_the_skill_decides_alone(
    skill: Points, actions: bool, expected: str, status: str
) -> None:
    history = run(skill, None)
    del history["val/readout/loss"]
    if not actions:  # as for the ARC JEPA
        del history["val/action_gain"]
    verdict = judge(history)
    assert state(history) == expected
    assert verdict.status == status
    assert ("use of actions not measured" in verdict.prediction) == actions


def test_a_run_that_is_too_short_gets_the_command_with_more_epochs() -> None:
    config = {"dataset": {"epochs": 20}, "model": {}, "optim": {"lr": 1e-3}}
    verdict = judge(run(curve(0.0, 0.09), curve(0.0, 0.3)), config=config)
    assert verdict.next == ("dataset.epochs=60",)
    # that the features have not failed, as for healthy: so it was in all 19 labelled runs
    assert verdict.confidence == judge(run(curve(0.0, 0.6), curve(0.0, 0.8))).confidence > 0.5


def test_collapsed_features_keep_their_status_beside_the_state() -> None:
    history = run(curve(0.0, 0.6), curve(0.0, 0.8))
    history["val/z/effective_rank"] = curve(20.0, 1.05, bend=0)
    verdict: Verdict = judge(history)
    assert verdict.status == "dimensional_collapse"
    assert verdict.prediction.startswith(LEARNED)
